"""Which settings a stack runs with: the environment first, then `.env`, then development defaults."""

import os
from pathlib import Path

from dotenv import dotenv_values

from contactship_devstack.errors import DevstackError

DEFAULT_PORT = 3000


def load_dotenv(path: Path) -> None:
    """Add what `.env` says to the environment of this process. What is set already wins, even if it is empty."""
    if not path.exists():
        return
    try:
        values = dotenv_values(path)
    except (OSError, UnicodeDecodeError) as error:
        raise DevstackError(f"cannot read {path}: {error}") from error
    for name, value in values.items():
        if value is not None:
            os.environ.setdefault(name, value)


def api_port() -> int:
    """PORT (or its older name APP_PORT), 3000 if neither is set."""
    text = os.environ.get("PORT") or os.environ.get("APP_PORT") or str(DEFAULT_PORT)
    if not text.isdecimal() or not 1 <= int(text) <= 65_535:
        raise DevstackError(f"PORT must be a number from 1 to 65535, not {text!r}")
    return int(text)


def is_set(*names: str) -> bool:
    return any(os.environ.get(name) for name in names)


def without_password(url: str) -> str:
    """A URL that may be shown: `postgresql://user:***@host/db`."""
    scheme, separator, rest = url.partition("://")
    login, at, place = rest.rpartition("@")
    user, colon, _ = login.partition(":")
    return f"{scheme}{separator}{user}{':***' if colon else ''}{at}{place}".split("?", 1)[0]
