"""`contactship-sync-worker`: lead sources."""

from contextlib import AsyncExitStack

from contactship_common.runtime import Runtime
from contactship_common.tasks.handler import AnyHandler
from contactship_common.tasks.worker import run_worker

THREADS = 16


def make_handlers(runtime: Runtime, stack: AsyncExitStack) -> dict[str, AnyHandler]:
    """The handlers of the `sync` queue, by kind."""
    return {}


def main() -> None:
    run_worker("sync", make_handlers, default_threads=THREADS)
