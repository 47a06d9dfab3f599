"""From settings to adapters: the `type` of a source is the name of a file in this folder."""

import importlib
import importlib.util

from pydantic import ValidationError

from contactship_common.settings import SyncSettings, explain
from contactship_sync_worker.sources.base import Setup, Source
from contactship_sync_worker.sources.http import SourceHttp

_PACKAGE = "contactship_sync_worker.sources"


def build_sources(settings: SyncSettings, http: SourceHttp) -> dict[str, Source]:
    """The adapters of all configured sources, by name.

    Raises:
        ValueError: SYNC_SOURCES names an unknown type, or an adapter refuses its options; says which source.
    """
    return {
        name: _build(Setup(name, entry.options, settings, http), entry.type) for name, entry in settings.sources.items()
    }


def _build(setup: Setup, type_name: str) -> Source:
    module_name = f"{_PACKAGE}.{type_name}"
    found = importlib.util.find_spec(module_name)
    module = importlib.import_module(module_name) if found is not None else None
    if module is None or not hasattr(module, "build"):
        raise ValueError(f"SYNC_SOURCES: {setup.name}: there is no type of source {type_name!r}")
    try:
        source: Source = module.build(setup)
    except ValidationError as error:
        raise ValueError(f"SYNC_SOURCES: {setup.name}: {explain(error)}") from None
    return source
