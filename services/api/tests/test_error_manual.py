"""docs/reference/errors.md says what the gateway answers."""

from pathlib import Path

from contactship_api.http.error_manual import WHAT_TO_DO, codes, markdown

_ROOT = Path(__file__).parents[3]


def test_the_page_is_what_the_typed_errors_say() -> None:
    written = (_ROOT / "docs/reference/errors.md").read_text(encoding="utf-8")
    assert written == markdown(), "run `.venv/bin/python -m contactship_api.http.error_manual`"


def test_every_code_says_what_to_do_and_nothing_is_advised_for_codes_that_are_gone() -> None:
    assert {code for _, code in codes()} == set(WHAT_TO_DO)
