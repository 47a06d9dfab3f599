"""Reports of unexpected errors: what they say, and all that they leave out."""

import json
import os
import subprocess
import sys

from vendors.sentry_server import SentryServer

from contactship_common import faults

_BREAK = """
from contactship_common import faults
from contactship_common.settings import TelemetrySettings
faults.configure("api", TelemetrySettings(), environment="staging")
def inner(email):
    body = {"phone": "+34612345678"}
    raise ValueError(f"cannot reach {email}", body)
try:
    try:
        inner("ana" + "@" + "example.com")
    except ValueError as error:
        error.add_note("note-of-" + "ana")
        raise KeyError("other" + "@" + "example.com") from error
except KeyError as error:
    faults.report(error, "task.broke", kind="lead.summary", request_id=None)
faults.stop()
"""


def _run(dsn: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", _BREAK],
        env=os.environ | {"SENTRY_DSN": dsn}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_a_report_says_which_error_where_and_nothing_about_people() -> None:
    with SentryServer() as sentry:
        told = _run(sentry.dsn)
        assert told.returncode == 0, told.stderr
        [event] = sentry.events
        [text] = sentry.texts
    assert set(event) == {
        "event_id", "timestamp", "platform", "level", "release", "environment", "sdk", "tags", "exception",
    }  # fmt: skip
    assert [one["type"] for one in event["exception"]["values"]] == ["ValueError", "KeyError"]
    assert [frame["function"] for frame in event["exception"]["values"][0]["stacktrace"]["frames"]] == [
        "<module>",
        "inner",
    ]
    assert event["tags"] == {"process": "api", "event": "task.broke", "kind": "lead.summary"}
    for personal in ("@example.com", "612345678", "note-of-ana", os.uname().nodename):
        assert personal not in text


def test_without_an_address_nothing_is_sent_or_even_loaded() -> None:
    script = _BREAK + "\nimport sys\nassert 'sentry_sdk' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], env=os.environ | {"SENTRY_DSN": ""}, timeout=60, check=True)


def test_a_wrong_address_is_one_clear_line() -> None:
    told = _run("not-a-dsn")
    assert told.returncode == 1
    assert "SENTRY_DSN cannot be used" in told.stderr


def test_a_receiver_that_is_away_delays_nothing_for_long() -> None:
    assert _run("http://public@127.0.0.1:9/1").returncode == 0


def test_whatever_a_later_sdk_adds_is_left_out() -> None:
    frame = {"function": "f", "lineno": 3, "vars": {"email": "ana@example.com"}}
    event = {
        "level": "error",
        "request": {"url": "https://x/?q=ana", "data": "body", "headers": {"authorization": "Bearer t"}},
        "user": {"ip_address": "1.2.3.4"}, "extra": {"sys.argv": ["x"]}, "breadcrumbs": {"values": []},
        "server_name": "host", "contexts": {"trace": {}}, "modules": {},
        "exception": {"values": [{"type": "E", "value": "ana", "stacktrace": {"frames": [frame]},
                                  "mechanism": {"type": "generic", "data": {"x": "ana"}}}]},
    }  # fmt: skip
    assert json.loads(json.dumps(faults.strip(event, {}))) == {
        "level": "error",
        "exception": {
            "values": [
                {
                    "type": "E",
                    "stacktrace": {"frames": [{"function": "f", "lineno": 3}]},
                    "mechanism": {"type": "generic"},
                }
            ]
        },
    }
