"""Work that a test holds at its gate, and the journal row that it leaves."""

import asyncio
from typing import Any

from contactship_common.models import AICall
from contactship_common.tasks import journal

CALL: dict[str, Any] = {
    "kind": "test",
    "provider": "local",
    "model": "m",
    "prompt": "p",
    "prompt_version": "1",
    "outcome": "success",
}


class Gate:
    """Work that tells when it began and waits until it is let go; `cancelled` if it was stopped instead."""

    def __init__(self) -> None:
        self.began, self.go_on = asyncio.Event(), asyncio.Event()
        self.cancelled = False

    async def work(self, *_: Any) -> str:
        journal.keep(AICall(**CALL))
        self.began.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return "worked"
