"""Development without credentials: the message is printed in the developer's terminal instead of being sent."""

import sys

from contactship_common.models import Provider
from contactship_delivery_worker.senders.base import Outgoing, Sent


class ConsoleSender:
    """Prints to standard output, past the log: what is sent never stands in a log. Never used in production."""

    def __init__(self, channel: str) -> None:
        self._channel = channel

    async def send(self, message: Outgoing) -> Sent:
        media = f" [{message.media_url}]" if message.media_url else ""
        sys.stdout.write(f"\n  ✉  {self._channel} to {message.to}: {message.text}{media}\n\n")
        sys.stdout.flush()
        return Sent(Provider.GENERIC, None, "delivered")

    async def aclose(self) -> None:
        """Nothing is open."""
