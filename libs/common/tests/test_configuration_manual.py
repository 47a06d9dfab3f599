from pathlib import Path

import pytest

from contactship_common.settings import manual

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("path", manual.FILES, ids=str)
def test_the_manual_says_what_the_settings_classes_say(path: Path) -> None:
    written = (ROOT / path).read_text(encoding="utf-8")
    assert written == manual.FILES[path](), "run: .venv/bin/python -m contactship_common.settings.manual"


def test_every_setting_is_described() -> None:
    for _, group in manual.GROUPS:
        for setting in manual.describe(group):
            assert setting.about.endswith((".", ")")), f"{setting.name} needs a sentence"


def test_no_secret_has_a_default_that_could_reach_production() -> None:
    defaults = {
        s.name: s.default for _, group in manual.GROUPS for s in manual.describe(group) if s.secret and s.default
    }
    # The one secret with a default is refused in production by the settings class itself.
    assert set(defaults) <= {"JWT_SECRET"}
