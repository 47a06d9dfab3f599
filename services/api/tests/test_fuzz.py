"""A fuzzer driven by the document finds no undocumented answer and no 5xx.

A minute by default; `CONTACTSHIP_FUZZ_SECONDS=300` goes deeper.
"""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from contactship_devstack.testing import StackFactory

SECONDS = int(os.environ.get("CONTACTSHIP_FUZZ_SECONDS", "60"))
CONFIG = """
[parameters]
"query.wait" = 0  # a held answer would hold the fuzzer
[auth]
auto-signup = false
[auth.openapi.ApiKey]
api_key = "{key}"
[checks.negative_data_rejection]
# 412 besides the usual ones: a made-up If-Match is refused, whatever the body.
expected-statuses = [400, 401, 403, 404, 405, 406, 409, 412, 415, 422, 428, 429, "5xx"]
"""
LIVE_WORKERS = """
INSERT INTO worker_heartbeats (id, kind, queue, threads, running, seen_at)
SELECT queue, queue, queue, 1, 0, now() + interval '1 day' FROM unnest(ARRAY['ai', 'sync', 'delivery']) AS queue
"""  # without any, health is rightly 503
# use_after_free: DELETE of a task cancels it, and the task stays to say so; other tests look at deleted leads and keys.
EXAMPLES = 10_000  # time ends the run, not their number


@pytest.mark.system
@pytest.mark.timeout(SECONDS + 120)
def test_the_document_tells_the_truth(make_stack: StackFactory, tmp_path: Path) -> None:
    stack = make_stack("api")
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        connection.execute(LIVE_WORKERS)
    (tmp_path / "schemathesis.toml").write_text(CONFIG.format(key=stack.api_key))
    ended = subprocess.run(
        [
            str(Path(sys.executable).parent / "schemathesis"), "run", f"{stack.api_url}/api/openapi.json",
            "--checks", "all", "--mode", "all",
            "--max-examples", str(EXAMPLES), "--max-time", str(SECONDS), "--no-color",
            "--exclude-checks", "positive_data_acceptance,use_after_free",
        ],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SECONDS + 90,
        check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Traceback" not in stack.logs("api")
