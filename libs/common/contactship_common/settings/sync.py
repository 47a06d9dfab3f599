"""Lead sources: which there are, when they are asked, and how patiently."""

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from contactship_common.cron import Cron, parse_cron
from contactship_common.settings.fields import SettingsGroup, setting

MAX_BATCH_SIZE = 5_000
RANDOMUSER = "randomuser"
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")


class SourceSettings(BaseModel):
    """One entry of SYNC_SOURCES. What is not named here belongs to the adapter, which checks it at the worker's
    start."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True, hide_input_in_errors=True)

    type: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    cron: str | None = None
    batch_size: int | None = Field(default=None, ge=1, le=MAX_BATCH_SIZE, alias="batchSize")
    max_records: int | None = Field(default=None, ge=1, alias="maxRecords")

    @field_validator("cron")
    @classmethod
    def _check_cron(cls, text: str | None) -> str | None:
        if text is not None:
            parse_cron(text)
        return text

    @property
    def options(self) -> dict[str, Any]:
        """The adapter's own options."""
        return dict(self.model_extra or {})


class SyncSettings(SettingsGroup):
    """The gateway and the scheduler read names and times; the worker also builds the adapters."""

    sync_cron: str = setting(
        "0 * * * *",
        "SYNC_CRON",
        about="When sources are asked, in UTC: five fields as in cron (six: seconds first), `@weekly` and the like, or "
        "`off`. A source can have its own `cron`.",
    )
    sync_batch_size: int = setting(
        10,
        "SYNC_BATCH_SIZE",
        unit="records",
        ge=1,
        le=MAX_BATCH_SIZE,
        about="Page size when neither the trigger nor the source says another.",
    )
    sync_max_records: int = setting(
        1_000_000,
        "SYNC_MAX_RECORDS",
        unit="records",
        ge=1,
        about="A run ends after so many, however many the source has; a source can have its own `maxRecords`.",
    )
    randomuser_url: str = setting(
        "https://randomuser.me/api/",
        "RANDOMUSER_URL",
        about="The built-in source `randomuser`; `off` takes it from the list of sources.",
    )
    sync_sources: dict[str, SourceSettings] = setting(
        {},
        "SYNC_SOURCES",
        secret=True,
        about='Further sources as JSON: `{"crm": {"type": "http_json", "url": "https://…", …}}`. `type` is a file in '
        "`contactship_sync_worker/sources/`. For every type: `cron`, `batchSize`, `maxRecords`.",
        danger="Headers in it may hold the source's credentials.",
    )
    sync_timeout: float = setting(
        20.0, "SYNC_TIMEOUT", unit="seconds", gt=0, le=30, about="For one answer of a source, from connecting to end."
    )
    sync_retry_wait: float = setting(
        2.0,
        "SYNC_RETRY_WAIT",
        unit="seconds",
        ge=0,
        le=10,
        about="First pause before a source is asked again (three tries in all); doubles, with jitter.",
    )
    sync_max_body_bytes: int = setting(
        32 * 1024 * 1024,
        "SYNC_MAX_BODY_BYTES",
        unit="bytes",
        ge=1_024,
        about="A longer answer of a source is a failed run.",
    )

    @field_validator("sync_cron")
    @classmethod
    def _check_cron(cls, text: str) -> str:
        parse_cron(text)
        return text

    @field_validator("sync_sources")
    @classmethod
    def _check_names(cls, sources: dict[str, SourceSettings]) -> dict[str, SourceSettings]:
        for name in sources:
            if not _NAME.fullmatch(name):
                raise ValueError(f"the source's name {name!r} must be lower-case letters, digits, - and _")
        return sources

    @property
    def sources(self) -> dict[str, SourceSettings]:
        """All sources by name; an entry named `randomuser` replaces the built-in one."""
        builtin = {} if self.randomuser_url.lower() == "off" else {RANDOMUSER: SourceSettings(type=RANDOMUSER)}
        return builtin | self.sync_sources

    @property
    def default_source(self) -> str | None:
        """What is asked when nobody says which."""
        sources = self.sources
        return RANDOMUSER if RANDOMUSER in sources else next(iter(sources), None)

    def cron_of(self, source: str) -> Cron | None:
        """When this source is asked; None: only when triggered."""
        own = self.sources[source].cron
        return parse_cron(self.sync_cron if own is None else own)

    def batch_size_of(self, source: str) -> int:
        return self.sources[source].batch_size or self.sync_batch_size

    def max_records_of(self, source: str) -> int:
        return self.sources[source].max_records or self.sync_max_records
