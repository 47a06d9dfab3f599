"""The example of the README, exactly as it stands there."""

import json
import re
from pathlib import Path

import pytest
from sync_testkit import Syncs
from vendors.randomuser_server import RandomUserServer

from contactship_sync_worker import sources

README = Path(__file__).parents[3] / "README.md"


def blocks(heading: str) -> dict[str, str]:
    """The code blocks of a section, by language."""
    section = README.read_text().split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return dict(re.findall(r"```(\w+)\n(.*?)```", section, re.DOTALL))


async def test_adding_a_source_is_one_file_and_a_setting(
    syncs: Syncs, vendor: RandomUserServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = blocks("Add a lead source")
    (tmp_path / "hubshop.py").write_text(example["python"])
    monkeypatch.setattr(sources, "__path__", [*sources.__path__, str(tmp_path)])
    setting = json.loads(example["json"])
    setting["shop"]["url"] = f"{vendor.url}/feed/cursor?total=25"
    syncs.use(sync_sources=setting)
    job = await syncs.run("shop", batch_size=10)
    assert (job["status"], job["records_created"], job["errors"]) == ("completed", 25, [])
    assert await syncs.count("leads WHERE external_id LIKE 'hubshop:%'") == 25
