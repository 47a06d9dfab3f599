"""Development without credentials: the message is printed in the developer's terminal instead of being sent."""

import contextlib
import sys

from contactship_common.models import Provider
from contactship_delivery_worker.senders.base import Outgoing, Sent


class ConsoleSender:
    """Prints to standard output, past the log, which goes to standard error. Never used in production."""

    def __init__(self, channel: str) -> None:
        self._channel = channel

    async def send(self, message: Outgoing) -> Sent:
        media = f" [{message.media_url}]" if message.media_url else ""
        first, *rest = f"{message.text}{media}".splitlines() or [""]
        # In one write, so that no other line comes between its lines.
        lines = [f"✉  {self._channel} to {message.to}: {first}", *(f"   {line}" for line in rest)]
        # Bytes, because a terminal's encoding may not know a customer's letters; a terminal that was closed misses it.
        with contextlib.suppress(OSError):
            sys.stdout.buffer.write("\n".join([*lines, ""]).encode())
            sys.stdout.buffer.flush()
        return Sent(Provider.GENERIC, None, "delivered")

    async def aclose(self) -> None:
        """Nothing is open."""
