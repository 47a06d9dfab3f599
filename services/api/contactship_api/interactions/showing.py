"""From rows to what an answer shows of them: every field that may hold personal data goes through `personal`."""

from typing import Any

from contactship_api.http.personal_data import PersonalData
from contactship_api.interactions.schemas import (
    CallDetailOut,
    EventOut,
    InteractionDelivery,
    InteractionOut,
    OtpChallengeOut,
)
from contactship_common.conversations.shapes import MessageOut
from contactship_common.models import (
    CallDetail,
    Delivery,
    Interaction,
    InteractionChannel,
    Message,
    OtpChallenge,
    OtpPurpose,
    OtpStatus,
    Provider,
)

DEEPEST = 64
LONGEST_TEXT = 20_000


def interaction_fields(row: Any, personal: PersonalData) -> dict[str, Any]:
    """The fields of an `InteractionOut`; `row` is an `Interaction` with `duration_sec`, `summary`, `has_transcript`."""
    it: Interaction = row.Interaction
    return {
        "id": it.id,
        "channel": it.channel,
        "direction": it.direction,
        "status": it.status,
        "started_at": it.started_at,
        "ended_at": it.ended_at,
        "duration_sec": row.duration_sec,
        "from_number": personal.phone(it.from_number),
        "to_number": personal.phone(it.to_number),
        "customer_phone": personal.phone(it.customer_phone),
        "customer_ref": personal.text(it.customer_ref),
        "queue": personal.text(it.queue),
        "assigned_agent": personal.text(it.assigned_agent),
        "ai_handled": it.ai_handled,
        "outcome": it.outcome,
        "intent": personal.text(it.intent),
        "provider": it.provider,
        "provider_conversation_id": personal.text(it.provider_conversation_id),
        "lead_id": it.lead_id,
        "conversation_id": it.conversation_id,
        "summary": personal.text(row.summary),
        "has_transcript": row.has_transcript,
        "personal_data": "clear" if personal.clear else "masked",
        "created_at": it.created_at,
        "updated_at": it.updated_at,
    }


def interaction(row: Any, personal: PersonalData) -> InteractionOut:
    return InteractionOut(**interaction_fields(row, personal))


def event(row: Any, personal: PersonalData, *, withheld: bool) -> EventOut:
    return EventOut(
        id=row.id,
        type=row.type,
        provider=row.provider,
        provider_event_id=personal.text(row.provider_event_id),
        raw=None if withheld else personal.data(cut(row.raw)),
        normalized=None if withheld else personal.data(cut(row.normalized)),
        occurred_at=row.occurred_at,
        created_at=row.created_at,
    )


def cut(value: Any, depth: int = 0) -> Any:
    """`value` with what is nested too deeply or too long (audio in base64, say) cut off."""
    if isinstance(value, str):
        return value if len(value) <= LONGEST_TEXT else value[:LONGEST_TEXT] + "…"
    if isinstance(value, dict):
        return {key: cut(item, depth + 1) for key, item in value.items()} if depth < DEEPEST else "…"
    if isinstance(value, list):
        return [cut(item, depth + 1) for item in value] if depth < DEEPEST else "…"
    return value


def message(row: Message, personal: PersonalData) -> MessageOut:
    out = MessageOut.model_validate(row)
    return out.model_copy(
        update={
            "content_text": personal.text(out.content_text),
            "media_url": personal.text(out.media_url),
            "error_message": personal.text(out.error_message),
        }
    )


def call_detail(row: CallDetail | None, personal: PersonalData) -> CallDetailOut | None:
    if row is None:
        return None
    return CallDetailOut(
        recording_url=personal.text(row.recording_url),
        transcript_text=personal.text(row.transcript_text),
        transcript_id=personal.text(row.transcript_id),
        summary=personal.text(row.summary),
        duration_sec=row.duration_sec,
        hangup_reason=personal.text(row.hangup_reason),
        updated_at=row.updated_at,
    )


def otp_challenge(row: OtpChallenge, personal: PersonalData) -> OtpChallengeOut:
    return OtpChallengeOut(
        id=row.id,
        phone=personal.phone(row.phone_e164),
        purpose=OtpPurpose(row.purpose),
        status=OtpStatus(row.status),
        correlation_id=personal.text(row.correlation_id),
        expires_at=row.expires_at,
        verified_at=row.verified_at,
        created_at=row.created_at,
    )


def delivery(row: Delivery, personal: PersonalData) -> InteractionDelivery:
    return InteractionDelivery(
        id=row.id,
        message_id=row.message_id,
        otp_challenge_id=row.otp_challenge_id,
        channel=InteractionChannel(row.channel),
        to=personal.phone(row.to_number),
        state=row.state,
        provider=Provider(row.provider) if row.provider else None,
        provider_message_id=personal.text(row.provider_message_id),
        provider_status=row.provider_status,
        error_code=row.error_code,
        error_message=personal.text(row.error_message),
        sending_at=row.sending_at,
        sent_at=row.sent_at,
        delivered_at=row.delivered_at,
        read_at=row.read_at,
        failed_at=row.failed_at,
        created_at=row.created_at,
    )
