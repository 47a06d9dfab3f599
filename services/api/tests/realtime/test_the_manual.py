"""docs/reference/events.md names everything that can be sent, heard and refused."""

import re
from pathlib import Path

import pytest

from contactship_api.realtime.refusals import REFUSALS

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs/reference/events.md").read_text()
SOURCES = [
    path.read_text()
    for folder in ("libs/common/contactship_common", "services")
    for path in (ROOT / folder).rglob("*.py")
    if "tests" not in path.parts
]
EMITTED = sorted(
    {name for text in SOURCES for name in re.findall(r"""["']([a-z]+(?::[a-z]+)+)["'],\s*\n?\s*\{""", text)}
)


def test_the_sources_are_read_rightly() -> None:
    assert {"message:new", "message:status", "conversation:ai:update", "conversation:assigned", "lead:updated"} <= {
        *EMITTED
    }


@pytest.mark.parametrize("event", [*EMITTED, "conversation:join", "conversation:leave", "typing:start", "typing:stop"])
def test_every_event_is_described(event: str) -> None:
    assert f"`{event}`" in PAGE


@pytest.mark.parametrize("code", REFUSALS)
def test_every_refusal_is_described(code: str) -> None:
    assert f"`{code}`" in PAGE


def test_every_described_code_exists() -> None:
    tables = re.findall(r"^\| `([a-z]+_[a-z_]+)` \|", PAGE, re.M)
    assert set(tables) <= set(REFUSALS)
