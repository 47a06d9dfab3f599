"""ElevenLabs' webhooks: the signed envelope after a call, and the free shapes of webhook tools."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from contactship_common.contact_center.events import CallEvent, NotUnderstood, Understood
from contactship_common.contact_center.pieces import Piece, hashed
from contactship_common.contact_center.raw import kept
from contactship_common.contact_center.values import (
    LONGEST_TEXT,
    LONGEST_TRANSCRIPT,
    at,
    first_moment,
    first_text,
    found,
    mapping,
    moment,
    storable,
    text,
    url,
    whole_seconds,
)
from contactship_common.models import Direction, InteractionStatus, Outcome

ENVELOPES = ("post_call_transcription", "post_call_audio", "call_initiation_failure")

STATUSES = {
    "initiated": InteractionStatus.IN_PROGRESS,
    "ringing": InteractionStatus.IN_PROGRESS,
    "in-progress": InteractionStatus.IN_PROGRESS,
    "active": InteractionStatus.IN_PROGRESS,
    "processing": InteractionStatus.IN_PROGRESS,
    "started": InteractionStatus.IN_PROGRESS,
    "answered": InteractionStatus.IN_PROGRESS,
    "done": InteractionStatus.COMPLETED,
    "completed": InteractionStatus.COMPLETED,
    "ended": InteractionStatus.COMPLETED,
    "failed": InteractionStatus.FAILED,
    "abandoned": InteractionStatus.ABANDONED,
    "no-answer": InteractionStatus.ABANDONED,
    "busy": InteractionStatus.ABANDONED,
}
_OUTCOMES = {
    "success": Outcome.RESOLVED,
    "successful": Outcome.RESOLVED,
    "solved": Outcome.RESOLVED,
    "escalation": Outcome.ESCALATED,
    "ticket": Outcome.TICKETED,
    "transfer": Outcome.TRANSFERRED,
    **{outcome.lower(): outcome for outcome in Outcome},
}
_SPEAKERS = {
    "agent": "agent", "assistant": "agent", "ai": "agent", "bot": "agent", "model": "agent",
    "user": "user", "customer": "user", "caller": "user", "client": "user", "human": "user",
}  # fmt: skip
_STARTED = ("started_at", "startedAt", "start_time", "startTime", "timestamp", "start_time_unix_secs")
_ENDED = ("ended_at", "endedAt", "end_time", "endTime", "end_time_unix_secs")
_CALL_IDS = (
    "conversation_id", "conversationId", "conversation.id",
    "call_id", "callId", "call.id", "session_id", "sessionId", "session.id",
)  # fmt: skip
_EVENT_IDS = ("event_id", "eventId")
# Nobody says whose id a bare one is: it may be the event's, and it may be the call's, the same in all its events.
_BARE_ID = "id"


def split(body: bytes) -> Iterator[Piece]:
    """The one event of a body."""
    try:
        event = orjson.loads(body)
    except orjson.JSONDecodeError:
        event = None
    yield Piece(_key(event, body), body)


def _key(event: Any, body: bytes) -> str:
    if isinstance(event, dict):
        if _is_envelope(event) and (call_id := text(at(event, "data.conversation_id"))):
            return f"elevenlabs:{event['type']}:{call_id}"
        if event_id := first_text(event, *_EVENT_IDS) or first_text(event.get("data"), *_EVENT_IDS):
            return f"elevenlabs:event:{event_id}"
        if bare := first_text(event, _BARE_ID) or first_text(event.get("data"), _BARE_ID):
            return f"elevenlabs:id:{bare}:{hashed(body)}"
    return f"elevenlabs:hash:{hashed(body)}"


def _is_envelope(event: Mapping[str, Any]) -> bool:
    return event.get("type") in ENVELOPES and isinstance(event.get("data"), Mapping)


def understand(body: bytes) -> Understood:
    """
    Raises:
        NotUnderstood
    """
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise NotUnderstood("not_json", "The body is not JSON") from None
    if not isinstance(told, dict):
        raise NotUnderstood("unknown_payload", "The body is not a JSON object")
    return Understood(_envelope(told) if _is_envelope(told) else _flat(told), kept(told))


def _envelope(told: Mapping[str, Any]) -> CallEvent:
    kind, data = told["type"], mapping(told["data"])
    call_id = text(data.get("conversation_id"))
    occurred_at = moment(told.get("event_timestamp"))
    if call_id is None:
        raise NotUnderstood("conversation_id_missing", f"{kind} names no conversation_id")
    if kind == "post_call_audio":
        return CallEvent(
            kind, call_id=call_id, over=True, occurred_at=occurred_at, has_audio=bool(data.get("full_audio"))
        )
    if kind == "call_initiation_failure":
        return _initiation_failure(data, call_id, occurred_at)
    about, phone, analysis = (mapping(data.get(name)) for name in ("metadata", "", "analysis"))
    phone = mapping(about.get("phone_call"))
    direction = _direction(phone.get("direction"))
    ours, theirs = text(phone.get("agent_number")), text(phone.get("external_number"))
    if ours is None and theirs is None:
        direction = direction or Direction.INBOUND  # a web call: the visitor called
    started = first_moment(about, "start_time_unix_secs", "accepted_time_unix_secs")
    duration = whole_seconds(about.get("call_duration_secs"))
    success = first_text(analysis, "call_successful")
    return CallEvent(
        kind,
        call_id=call_id,
        status=_status(data.get("status")),
        over=True,
        direction=direction,
        from_number=ours if direction is Direction.OUTBOUND else theirs,
        to_number=theirs if direction is Direction.OUTBOUND else ours,
        occurred_at=occurred_at,
        started_at=started,
        ended_at=moment(started.timestamp() + duration) if started and duration is not None else occurred_at,
        agent=first_text(data, "agent_name", "agent_id"),
        customer_ref=first_text(data, "user_id"),
        outcome=_OUTCOMES.get(success.lower(), Outcome.UNKNOWN) if success else None,
        transcript=_transcript(data.get("transcript")),
        summary=first_text(analysis, "transcript_summary", longest=LONGEST_TEXT),
        duration_sec=duration,
        hangup_reason=first_text(about, "termination_reason"),
        has_audio=bool(data["has_audio"]) if "has_audio" in data else None,
    )


def _initiation_failure(data: Mapping[str, Any], call_id: str, occurred_at: Any) -> CallEvent:
    """A call of ours that never came about."""
    reason = first_text(data, "failure_reason")
    body = mapping(at(data, "metadata.body"))
    return CallEvent(
        "call_initiation_failure",
        call_id=call_id,
        status=_status(reason) or InteractionStatus.FAILED,
        over=True,
        direction=Direction.OUTBOUND,
        from_number=first_text(body, "From", "Caller", "from_number"),
        to_number=first_text(body, "To", "Called", "to_number"),
        occurred_at=occurred_at,
        ended_at=occurred_at,
        agent=first_text(data, "agent_name", "agent_id"),
        customer_ref=first_text(data, "user_id"),
        hangup_reason=reason,
    )


def _flat(told: Mapping[str, Any]) -> CallEvent:
    """Whatever somebody wrote into a webhook tool; an unknown envelope's `data` is read like its own fields."""
    fields = {**told, **mapping(told.get("data"))}
    # The outer ones name the event, whatever `data` calls its own.
    name = first_text(told, "event_type", "eventType", "type", "event", longest=100)
    name = name or first_text(fields, "event_type", "eventType", "type", "event", longest=100)
    started, ended = first_moment(fields, *_STARTED), first_moment(fields, *_ENDED)
    status = next(filter(None, map(_status, found(fields, "status", "call_status", "callStatus", "call.status"))), None)
    status = status or _status(name)
    bare = first_text(told, _BARE_ID) or first_text(fields, _BARE_ID)
    event = CallEvent(
        name or "call",
        event_id=first_text(told, *_EVENT_IDS, _BARE_ID) or first_text(fields, *_EVENT_IDS, _BARE_ID),
        call_id=first_text(fields, *_CALL_IDS) or bare,
        status=status,
        over=ended is not None,
        direction=_direction(next(found(fields, "direction", "call.direction"), None)),
        from_number=first_text(fields, "from", "from_number", "caller", "phone_number", "phone"),
        to_number=first_text(fields, "to", "to_number", "callee", "destination"),
        occurred_at=first_moment(fields, "event_timestamp", "timestamp") or ended or started,
        started_at=started,
        ended_at=ended,
        agent=first_text(fields, "agent", "assigned_agent", "assignedAgent", "agent_name", "agentName", "agent.name"),
        customer_ref=first_text(fields, "customer_ref", "customerRef", "customer_id", "customerId", "user_id"),
        customer_name=first_text(fields, "name", "customer_name", "customerName", "caller_name"),
        queue=first_text(fields, "queue"),
        intent=first_text(fields, "intent", "intention", "reason", longest=500),
        outcome=_outcome(fields),
        recording_url=next(
            filter(None, map(url, found(fields, "recording_url", "recordingUrl", "recording.url", "recording"))), None
        ),
        transcript=next(
            filter(None, map(_transcript, found(fields, "transcript", "transcript_text", "transcription.text"))), None
        ),
        transcript_id=first_text(fields, "transcript_id", "transcriptId", "transcription.id"),
        summary=first_text(
            fields, "summary", "transcript_summary", "analysis.transcript_summary", longest=LONGEST_TEXT
        ),
        duration_sec=next(
            (
                seconds
                for value in found(fields, "duration", "duration_seconds", "durationSeconds", "call_duration_secs")
                if (seconds := whole_seconds(value)) is not None
            ),
            None,
        ),
        hangup_reason=first_text(fields, "hangup_reason", "hangupReason"),
    )
    named = first_text(fields, *_CALL_IDS)
    if not (named or event.from_number or event.to_number or event.status or event.transcript):
        raise NotUnderstood("unknown_payload", "Neither a call, a number, a status nor a transcript is named")
    return event


def _status(value: Any) -> InteractionStatus | None:
    """By the table, however it is written: `in_progress`, `In Progress`, `call.completed`, `call_ended`."""
    told = text(value, 100)
    if told is None:
        return None
    word = told.lower().replace("_", "-").replace(" ", "-").rpartition(".")[2].removeprefix("call-")
    return STATUSES.get(word)


def _direction(value: Any) -> Direction | None:
    told = (text(value, 40) or "").lower()
    if told.startswith(("out", "saliente")):
        return Direction.OUTBOUND
    return Direction.INBOUND if told.startswith(("in", "entrante")) else None


def _outcome(fields: Mapping[str, Any]) -> Outcome | None:
    told = first_text(fields, "outcome")
    return _OUTCOMES.get(told.lower(), Outcome.UNKNOWN) if told else None


def _transcript(value: Any) -> str | None:
    """A text as it is; turns as `agent: …` and `user: …`, a line each."""
    if isinstance(value, Mapping):
        value = next(found(value, "text", "turns", "messages"), None)
    if isinstance(value, str):
        return storable(value)[:LONGEST_TRANSCRIPT].strip() or None
    if not isinstance(value, list):
        return None
    lines: list[str] = []
    room = LONGEST_TRANSCRIPT
    for turn in value:
        line = _turn(turn)
        if line is None:
            continue
        if len(line) >= room:
            break
        lines.append(line)
        room -= len(line) + 1
    return "\n".join(lines) or None


def _turn(turn: Any) -> str | None:
    if isinstance(turn, str):
        return " ".join(storable(turn).split()) or None
    said = first_text(turn, "message", "text", "content", "transcript", longest=LONGEST_TEXT)
    if said is None:
        return None
    role = first_text(turn, "role", "speaker", "sender", longest=40)
    speaker = _SPEAKERS.get(role.lower(), role) if role else None
    said = " ".join(said.split())
    return f"{speaker}: {said}" if speaker else said
