"""What providers tell us, in our own words: the adapters make these of a body, the delivery worker applies them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from contactship_common.models import ContentType, Direction, InteractionStatus, Outcome


class NotUnderstood(Exception):
    """The event makes no sense to us (yet). `code` is a stable snake_case word; `message` says why and repeats nothing
    of the body. The entry stays in the inbox with both, and can be replayed."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Ignored:
    """Nothing follows from it, and that is right. `reason` is a stable snake_case word."""

    reason: str


@dataclass(frozen=True, slots=True)
class CallEvent:
    """One word about one call; None is what it does not say. Numbers are as they came. `over`: the call has ended,
    however it ended."""

    type: str
    event_id: str | None = None
    call_id: str | None = None
    status: InteractionStatus | None = None
    over: bool = False
    direction: Direction | None = None
    from_number: str | None = None
    to_number: str | None = None
    occurred_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    agent: str | None = None
    customer_ref: str | None = None
    customer_name: str | None = None
    queue: str | None = None
    intent: str | None = None
    outcome: Outcome | None = None
    recording_url: str | None = None
    transcript: str | None = None
    transcript_id: str | None = None
    summary: str | None = None
    duration_sec: int | None = None
    hangup_reason: str | None = None
    has_audio: bool | None = None


@dataclass(frozen=True, slots=True)
class Text:
    """What a message says: text, media, or both. Times are the provider's."""

    phone_e164: str
    text: str | None
    content_type: ContentType = ContentType.TEXT
    media_url: str | None = None
    message_id: str | None = None
    sent_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class IncomingMessage:
    """Somebody wrote to us."""

    type: str
    said: Text
    name: str | None = None
    our_number: str | None = None


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """Something was sent from our side: the echo of our own sending, or what somebody wrote on the phone."""

    type: str
    said: Text


@dataclass(frozen=True, slots=True)
class SmsStatus:
    """What became of an SMS that we sent. `delivery_id` is what our callback URL carried."""

    type: str
    message_id: str
    status: str
    delivery_id: str | None = None
    error_code: str | None = None
    error_message: str | None = None


Event = CallEvent | IncomingMessage | OutgoingMessage | SmsStatus | Ignored


@dataclass(frozen=True, slots=True)
class Understood:
    """An event, and what it was made from as it is kept: without secrets and audio."""

    event: Event
    raw: Any
