"""`make bench` works; its figures are another matter."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]


@pytest.mark.system
def test_the_benchmark_measures_every_endpoint_and_writes_it_down(tmp_path: Path) -> None:
    results = tmp_path / "RESULTS.md"
    ended = subprocess.run(
        [sys.executable, "-m", "bench", "kpis", "--rows", "2000", "--requests", "1", "--results", str(results)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    written = results.read_text()
    assert "KPIs of 2,000 meetings" in written
    for line in ("floor: SELECT 1", "/kpis/clients/engagement (tz, range)", "/kpis (tz, seller)"):
        assert f"| {line}" in written
