"""Every spelling in which providers write the same thing is read as the same thing; nonsense is nothing."""

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contactship_common.contact_center import builderbot, elevenlabs, twilio
from contactship_common.contact_center.events import (
    CallEvent,
    IncomingMessage,
    NotUnderstood,
    OutgoingMessage,
)
from contactship_common.contact_center.phones import is_no_person, provider_number, whatsapp_number
from contactship_common.contact_center.raw import kept
from contactship_common.contact_center.values import moment, whole_seconds
from contactship_common.models import ContentType, InteractionStatus, Outcome


def nested(path: str, value: Any) -> Any:
    for name in reversed(path.split(".")):
        value = {name: value}
    return value


def call(**fields: Any) -> CallEvent:
    event = elevenlabs.understand(json.dumps(fields).encode()).event
    assert isinstance(event, CallEvent)
    return event


T = datetime(2025, 10, 9, 8, 53, 20, tzinfo=UTC)
SPELLINGS = {
    "call_id": ["call_id", "callId", "session.id", "conversation_id", "conversationId", "conversation.id",
                "session_id", "sessionId"],
    "event_id": ["event_id", "eventId", "id"],
    "type": ["event_type", "type", "event"],
    "from_number": ["from", "caller", "phone_number", "phone"],
    "to_number": ["to", "callee", "destination"],
    "agent": ["agent", "assigned_agent", "agent_name"],
    "intent": ["intent", "intention", "reason"],
    "transcript": ["transcript", "transcript_text", "transcription.text"],
    "transcript_id": ["transcript_id", "transcription.id"],
    "hangup_reason": ["hangup_reason", "hangupReason"],
    "recording_url": ["recording_url", "recordingUrl", "recording.url"],
    "duration_sec": ["duration", "duration_seconds", "call_duration_secs"],
    "started_at": ["started_at", "start_time", "timestamp", "start_time_unix_secs"],
    "ended_at": ["ended_at", "end_time", "end_time_unix_secs"],
}  # fmt: skip
VALUES: dict[str, tuple[Any, Any]] = {
    "recording_url": ("https://a.example/r.mp3", "https://a.example/r.mp3"),
    "duration_sec": ("65.4", 65),
    "started_at": (1_760_000_000, T),
    "ended_at": (1_760_000_000_000, T),
}


@pytest.mark.parametrize(("field", "spelling"), [(f, s) for f, all_of in SPELLINGS.items() for s in all_of])
def test_every_spelling_of_a_call_s_fields(field: str, spelling: str) -> None:
    given, wanted = VALUES.get(field, ("value", "value"))
    always = {} if spelling == "status" else {"status": "active"}
    for event in (nested(spelling, given), {spelling: given}, {"data": nested(spelling, given)}):
        assert getattr(call(**(always | event)), field) == wanted


@pytest.mark.parametrize(
    ("told", "status"),
    [
        *((word, InteractionStatus.IN_PROGRESS) for word in ("initiated", "ringing", "in-progress", "in_progress",
                                                             "active", "processing", "In Progress", "RINGING")),
        *((word, InteractionStatus.COMPLETED) for word in ("done", "completed", "ended", "call.ended", "call_completed")),
        ("failed", InteractionStatus.FAILED),
        *((word, InteractionStatus.ABANDONED) for word in ("abandoned", "no-answer", "no_answer", "busy")),
        *((word, None) for word in ("", "exploded", 7, True, None, ["done"], {"a": "done"})),
    ],
)  # fmt: skip
def test_statuses(told: Any, status: InteractionStatus | None) -> None:
    assert call(call_id="c", status=told).status is status


@pytest.mark.parametrize(
    ("told", "outcome"),
    [("resolved", Outcome.RESOLVED), ("Escalated", Outcome.ESCALATED), ("ticketed", Outcome.TICKETED),
     ("TRANSFERRED", Outcome.TRANSFERRED), ("sold everything", Outcome.UNKNOWN), ("", None), (None, None)],
)  # fmt: skip
def test_outcomes(told: Any, outcome: Outcome | None) -> None:
    assert call(call_id="c", outcome=told).outcome is outcome


@pytest.mark.parametrize(
    ("told", "text"),
    [
        ("hola", "hola"),
        (["hola", " ", "chau"], "hola\nchau"),
        ([{"role": "agent", "message": "A\nB"}, {"role": "user", "message": None}, {"role": "user", "message": "C"}],
         "agent: A B\nuser: C"),
        ([{"speaker": "Assistant", "text": "A"}, {"sender": "customer", "content": "B"}, {"message": "C"}],
         "agent: A\nuser: B\nC"),
        ([], None), ([1, None, {}], None), (7, None),
    ],
)  # fmt: skip
def test_transcripts(told: Any, text: str | None) -> None:
    assert call(call_id="c", transcript=told).transcript == text


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        (1_760_000_000, T), (1_760_000_000.0, T), ("1760000000", T), (1_760_000_000_000, T), ("1760000000000", T),
        (1_760_000_000_000_000, T), ("2025-10-09T08:53:20Z", T), ("2025-10-09T05:53:20-03:00", T),
        ("2025-10-09T08:53:20", T), ({"low": 1_760_000_000, "high": 0, "unsigned": True}, T),
        *((nonsense, None) for nonsense in (None, "", "soon", True, 0, -1, 10**30, 1e308, float("nan"), float("inf"),
                                            "inf", "nan", [], {}, "9999-99-99", "0001-01-01T00:00:00+14:00", 7)),
    ],
)  # fmt: skip
def test_moments(told: Any, wanted: datetime | None) -> None:
    assert moment(told) == wanted


@pytest.mark.parametrize(
    ("told", "wanted"),
    [(65, 65), (65.9, 65), ("65", 65), (0, 0), (-1, None), (True, None), ("1:05", None), (10**30, None), ("", None),
     (None, None), (float("nan"), None), ([], None)],
)  # fmt: skip
def test_lengths_of_time(told: Any, wanted: int | None) -> None:
    assert whole_seconds(told) == wanted


@pytest.mark.parametrize(
    ("told", "number"),
    [
        ("5491155551234", "+5491155551234"), ("5491155551234@s.whatsapp.net", "+5491155551234"),
        ("5491155551234:12@s.whatsapp.net", "+5491155551234"), ("5491155551234@c.us", "+5491155551234"),
        ("+54 9 11 5555-1234", "+5491155551234"), ("12025550123", "+12025550123"), ("34612345678", "+34612345678"),
        ("5215512345678", "+525512345678"), ("551187654321", "+551187654321"), ("120363041234567890@g.us", None),
        ("99182736455@lid", None), ("status@broadcast", None), ("1203630@newsletter", None), ("", None), (None, None),
        ("hola", None), ("5491", None), ("\u0665\u0664\u0669", None), ("549115555123400000000", None),
    ],
)  # fmt: skip
def test_numbers_of_whatsapp(told: str | None, number: str | None) -> None:
    assert whatsapp_number(told) == number


def test_who_is_no_person() -> None:
    assert [is_no_person(told) for told in ("1@g.us", "status@broadcast", "1@newsletter", "1@lid", "549@c.us")] == [
        True, True, True, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize("told", ["22000", "BANCO", "anonymous", "+", "+999", "tel:+5491155551234", None])
def test_what_is_no_number_of_a_network(told: str | None) -> None:
    assert provider_number(told) is None


def message(data: Any, name: str | None = "message.incoming", key: str = "eventName") -> Any:
    event = {key: name, "data": data} if name else data
    return builderbot.understand(json.dumps(event).encode()).event


ID = "5491155551234@s.whatsapp.net"


@pytest.mark.parametrize("path", ["from", "remoteJid", "phone", "wa_id", "respMessage.key.remoteJid", "key.remoteJid"])
@pytest.mark.parametrize("key", ["eventName", "event", "type"])
def test_where_a_message_names_its_sender(path: str, key: str) -> None:
    told = message(nested(path, ID) | {"body": "Hola"}, key=key)
    assert isinstance(told, IncomingMessage)
    assert (told.said.phone_e164, told.said.text) == ("+5491155551234", "Hola")
    assert message(nested(path, ID) | {"body": "Hola"}, None) == told


@pytest.mark.parametrize(
    "data",
    [{"body": "Hola"}, {"body": "", "message": {"conversation": "Hola"}}, {"message": {"conversation": "Hola"}},
     {"message": {"extendedTextMessage": {"text": "Hola"}}}, {"extendedTextMessage": {"text": "Hola"}},
     {"message": {"imageMessage": {"caption": "Hola"}}, "urlTempFile": "https://a.example/1.jpg"},
     {"caption": "Hola", "urlTempFile": "https://a.example/1.jpg", "body": "_event_media__1"}],
)  # fmt: skip
def test_where_a_message_has_its_text(data: dict[str, Any]) -> None:
    assert message({"from": ID} | data).said.text == "Hola"


def test_an_outgoing_message_has_its_text_in_answer() -> None:
    told = message({"from": ID, "answer": "Buenas", "body": "no"}, "message.outgoing")
    assert isinstance(told, OutgoingMessage)
    assert told.said.text == "Buenas"
    assert isinstance(message({"from": ID, "answer": "Buenas"}, None), OutgoingMessage)
    assert isinstance(message({"key": {"remoteJid": ID, "fromMe": True}, "body": "Yo"}), OutgoingMessage)


@pytest.mark.parametrize("path", ["id", "key.id", "respMessage.key.id", "message_id"])
def test_a_message_is_known_by_its_id(path: str) -> None:
    body = json.dumps({"eventName": "message.incoming", "data": nested(path, "m1") | {"from": ID, "body": "x"}})
    [piece] = builderbot.split(body.encode())
    assert piece.key == "builderbot:message.incoming:m1"


def test_without_an_id_a_message_is_known_by_who_said_what_and_when() -> None:
    def key(**data: Any) -> str:
        event = {"eventName": "message.incoming", "data": {"from": ID, "body": "x", "messageTimestamp": 1} | data}
        [piece] = builderbot.split(json.dumps(event).encode())
        return piece.key

    assert key() == key(other="field")
    assert len({key(), key(body="y"), key(messageTimestamp=2), key(**{"from": "5491155550000"})}) == 4


@pytest.mark.parametrize(
    ("url", "told", "kind"),
    [("https://a/1.JPG?x=1", None, ContentType.IMAGE), ("https://a/1", "image/webp", ContentType.IMAGE),
     ("https://a/1.ogg", None, ContentType.AUDIO), ("https://a/1", "voice_note", ContentType.AUDIO),
     ("https://a/1.mp4", None, ContentType.VIDEO), ("https://a/1.pdf", None, ContentType.FILE),
     ("https://a/1", None, ContentType.FILE), ("https://[", None, ContentType.FILE)],
)  # fmt: skip
def test_kinds_of_media(url: str, told: str | None, kind: ContentType) -> None:
    assert message({"from": ID, "attachment": [{"url": url, "mimetype": told}]}).said.content_type is kind


def test_what_is_kept_holds_no_secrets_and_can_be_stored() -> None:
    raw = {
        "token": "x", "data": [{"X-Api-Key": "x", "Authorization": "x", "cost": 1.5, "text": "a\x00b\ud800"}],
        "full_audio": "A" * 9, "long": "x" * 100_001, "bad": float("inf"), "password_set": True, "\x00k": None,
    }  # fmt: skip
    assert kept(raw) == {
        "token": "[removed]",
        "data": [{"X-Api-Key": "[removed]", "Authorization": "[removed]", "cost": 1.5, "text": "ab"}],
        "full_audio": "[9 characters of audio left out]", "long": "[100001 characters left out]", "bad": None,
        "password_set": True, "k": None,
    }  # fmt: skip


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(["data", "type", "event", "id", "from", "key", "message", "body", "status", "transcript",
                         "metadata", "phone_call", "attachment", "remoteJid", "conversation_id", "analysis"])
        | st.text(max_size=5),
        inner, max_size=6,
    ),
    max_leaves=20,
)  # fmt: skip


@given(anything)
def test_anything_is_understood_or_refused(value: Any) -> None:
    body = json.dumps(value).encode("utf-8", "surrogatepass")
    for understand, split in ((elevenlabs.understand, elevenlabs.split), (builderbot.understand, builderbot.split)):
        for piece in split(body):
            assert 0 < len(piece.stored_key) <= 512
            with suppress(NotUnderstood):
                json.dumps(understand(piece.body).raw)


@given(st.binary(max_size=200), st.sampled_from(["sms_status", "sms_inbound"]))
def test_any_form_is_understood_or_refused(body: bytes, kind: str) -> None:
    [piece] = twilio.split(kind, twilio.form_of(body), body)
    assert 0 < len(piece.stored_key) <= 512
    with suppress(NotUnderstood):
        twilio.understand(kind, body, {})


@given(anything, st.sampled_from(elevenlabs.ENVELOPES))
def test_any_envelope_is_understood_or_refused(data: Any, kind: str) -> None:
    body = json.dumps({"type": kind, "data": data, "event_timestamp": data})
    with suppress(NotUnderstood):
        elevenlabs.understand(body.encode("utf-8", "surrogatepass"))
