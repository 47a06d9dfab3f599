"""Development without credentials: the message is printed in the developer's terminal instead of being sent."""

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
        sys.stdout.write("\n".join([*lines, ""]))
        sys.stdout.flush()
        return Sent(Provider.GENERIC, None, "delivered")

    async def aclose(self) -> None:
        """Nothing is open."""
