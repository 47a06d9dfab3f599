"""Writes the configuration manual from the settings classes: `python -m contactship_common.settings.manual`.

Without arguments it rewrites `docs/reference/configuration.md` and `.env.example` below the current folder; a test
compares both files with what would be written, so that a setting is described in one place and never out of date.
"""

import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, SecretStr

from contactship_common.settings import (
    AISettings,
    ApiSettings,
    ContactCenterSettings,
    CoreSettings,
    DeliverySettings,
    SyncSettings,
    TelemetrySettings,
    WorkerSettings,
)
from contactship_common.settings.core import IGNORED_NAMES
from contactship_common.settings.fields import SettingsGroup

GROUPS: tuple[tuple[str, type[SettingsGroup]], ...] = (
    ("Every process", CoreSettings),
    ("Traces and reports of errors (every process)", TelemetrySettings),
    ("Gateway (`contactship-api`)", ApiSettings),
    ("Workers and scheduler", WorkerSettings),
    ("Lead sources (sync worker and scheduler; the gateway reads names and times)", SyncSettings),
    ("Callbacks and outbound webhooks (delivery worker)", DeliverySettings),
    ("Contact centre (gateway and delivery worker)", ContactCenterSettings),
    ("Language models (AI worker; the gateway reads AI_CACHE_TTL)", AISettings),
)

_DEVELOPMENT = {
    "CONTACTSHIP_DATA_DIR": "`make run`: where the embedded servers keep their data (default `.data`).",
    "PYTHON": "`make`: which Python makes `.venv` (default: the first that is 3.11 or newer).",
    "CONTACTSHIP_LONG_TESTS": "`make test`: 1 runs races and batches at full length.",
    "ADMIN_PASSWORD": "`contactship-admin`: the password; asked for when not set.",
}


@dataclass(frozen=True, slots=True)
class Described:
    """One setting as the manual tells it."""

    name: str
    older: tuple[str, ...]
    default: str
    unit: str
    about: str
    danger: str
    secret: bool


def _shown(value: Any) -> str:
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple | set | frozenset):
        return ",".join(map(str, value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None or value == {} else str(value)


def describe(group: type[SettingsGroup]) -> list[Described]:
    """The settings of a group, in the order of the class."""
    found = []
    for field in group.model_fields.values():
        alias = field.validation_alias
        if not isinstance(alias, AliasChoices):
            raise TypeError(f"{group.__name__}: declare settings with setting()")
        names = [str(choice) for choice in alias.choices]
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        found.append(
            Described(
                name=names[0],
                older=tuple(names[1:]),
                default=_shown(field.get_default(call_default_factory=True)),
                unit=str(extra.get("unit", "")),
                about=field.description or "",
                danger=str(extra.get("danger", "")),
                secret=bool(extra.get("secret")),
            )
        )
    return found


def markdown() -> str:
    """`docs/reference/configuration.md`."""
    lines = [
        "# Configuration",
        "",
        "Every setting is an environment variable; an empty one counts as unset. This page is generated from the",
        "settings classes by `python -m contactship_common.settings.manual`.",
    ]
    seen: set[str] = set()
    for title, group in GROUPS:
        lines += ["", f"## {title}", "", "| variable | default | unit | what it does |", "|---|---|---|---|"]
        for one in describe(group):
            if one.name in seen:
                continue
            seen.add(one.name)
            older = f" Older names: {', '.join(f'`{n}`' for n in one.older)}." if one.older else ""
            danger = f" **Careful:** {one.danger}" if one.danger else ""
            default = f"`{one.default}`" if one.default else "none"
            lines.append(f"| `{one.name}` | {default} | {one.unit} | {one.about}{older}{danger} |".replace("||", "| |"))
    lines += ["", "## Development only", "", "| variable | what it does |", "|---|---|"]
    lines += [f"| `{name}` | {about} |" for name, about in _DEVELOPMENT.items()]
    ignored = ", ".join(f"`{name}`" for name in IGNORED_NAMES)
    lines += ["", f"Names of older systems that mean nothing here are logged once and ignored: {ignored}.", ""]
    return "\n".join(lines)


def dotenv() -> str:
    """`.env.example`: everything at its default, commented out."""
    lines = [
        "# Contactship's configuration manual. Copy this file to .env and set what you need; `make run` reads it.",
        "# Everything is shown with its default, commented out. Generated from the settings classes.",
    ]
    seen: set[str] = set()
    for title, group in GROUPS:
        lines += ["", f"# --- {title.replace('`', '')} ---"]
        for one in describe(group):
            if one.name in seen:
                continue
            seen.add(one.name)
            lines.append("")
            lines.append(f"# {one.about}" + (f" Unit: {one.unit}." if one.unit else ""))
            if one.older:
                lines.append(f"# Older names: {', '.join(one.older)}.")
            if one.danger:
                lines.append(f"# CAREFUL: {one.danger}")
            lines.append(f"#{one.name}={one.default}")
    lines += ["", "# --- Development only ---"]
    for name, about in _DEVELOPMENT.items():
        lines += ["", f"# {about.replace('`', '')}", f"#{name}="]
    return "\n".join([*lines, ""])


FILES = {Path("docs/reference/configuration.md"): markdown, Path(".env.example"): dotenv}


def main() -> None:
    for path, make in FILES.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(make(), encoding="utf-8")
        sys.stdout.write(f"wrote {path}\n")


if __name__ == "__main__":
    main()
