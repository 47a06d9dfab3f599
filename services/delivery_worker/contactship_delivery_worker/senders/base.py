"""What a sender is, and what can be said about a sending."""

from dataclasses import dataclass
from typing import Protocol

from contactship_common.models import Provider
from contactship_common.tasks.outcomes import Permanent


@dataclass(frozen=True, slots=True, repr=False)  # no repr: it holds a number and a text
class Outgoing:
    """One message. `callback_url` is where the vendor reports to, "" if nowhere; `life_seconds` is how long it is worth
    delivering (a code's rest of life); `secret` is the code in the text. Never log any of it."""

    to: str
    text: str
    media_url: str | None = None
    callback_url: str = ""
    life_seconds: int | None = None
    secret: str = ""


@dataclass(frozen=True, slots=True)
class Sent:
    """The vendor has taken it. `status` is one of `contact_center.delivery_reports.RANKS`."""

    provider: Provider
    provider_message_id: str | None
    status: str = "sent"
    error_code: str | None = None
    error_message: str | None = None


class Sender(Protocol):
    """Sends over one channel.

    Raises:
        Permanent: refused, and surely not sent; or `unknown`, if nobody can say.
        RetryLater: surely not sent, and the vendor asks to come back.
        Transient: surely not sent; another run may succeed.
    """

    async def send(self, message: Outgoing) -> Sent: ...

    async def aclose(self) -> None: ...


def nobody_knows(why: str) -> Permanent:
    """The request left and its answer did not come: it is not sent again by itself."""
    return Permanent("unknown", f"{why}; it may have been sent")
