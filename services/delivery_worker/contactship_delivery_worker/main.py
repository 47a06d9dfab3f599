"""`contactship-delivery-worker`: SMS, WhatsApp and outbound webhooks."""

from contextlib import AsyncExitStack

from contactship_common.runtime import Runtime
from contactship_common.tasks.handler import AnyHandler
from contactship_common.tasks.worker import run_worker

THREADS = 64


def make_handlers(runtime: Runtime, stack: AsyncExitStack) -> dict[str, AnyHandler]:
    """The handlers of the `delivery` queue, by kind."""
    return {}


def main() -> None:
    run_worker("delivery", make_handlers, default_threads=THREADS)
