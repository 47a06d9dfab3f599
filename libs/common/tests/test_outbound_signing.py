"""What is signed here verifies with the reference library of Standard Webhooks."""

import base64
import secrets

import pytest
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from contactship_common.outbound import deliveries
from contactship_common.outbound.signing import key_of, sign
from contactship_common.settings import CoreSettings, explain

KEY = bytes(range(32))
ENCODED = base64.b64encode(KEY).decode()
BODY = '{"type":"meeting.classified","data":{"resumen":"mañana"}}'


@pytest.mark.parametrize("secret", [f"whsec_{ENCODED}", f"whsec_{ENCODED.rstrip('=')}", ENCODED])
def test_a_receiver_gives_the_same_base64_to_the_reference_library(secret: str) -> None:
    assert key_of(secret) == KEY
    headers = sign([key_of(secret)], "msg_1", BODY)
    assert Webhook(secret).verify(BODY, headers)["type"] == "meeting.classified"


@pytest.mark.parametrize("secret", ["a plain sentence, with ñ", "short", "callback-secret", "abcdefgh"])
def test_any_other_text_is_the_key_itself(secret: str) -> None:
    headers = sign([key_of(secret)], "msg_1", BODY)
    assert Webhook(secret.encode()).verify(BODY, headers)["type"] == "meeting.classified"


def test_a_changed_body_id_or_key_does_not_verify() -> None:
    headers = sign([KEY], "msg_1", BODY)
    for key, body, sent in (
        (KEY, BODY + " ", headers),
        (KEY, BODY, headers | {"webhook-id": "msg_2"}),
        (secrets.token_bytes(32), BODY, headers),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(key).verify(body, sent)


def test_with_two_keys_receivers_of_either_verify() -> None:
    new = secrets.token_bytes(32)
    headers = sign([new, KEY], "msg_1", BODY)
    assert Webhook(new).verify(BODY, headers) == Webhook(KEY).verify(BODY, headers)


def test_a_broken_secret_stops_the_start_with_a_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBACK_SIGNING_SECRET", "whsec_???")
    with pytest.raises(ValueError) as refused:
        CoreSettings()
    assert explain(refused.value) == "what follows whsec_ must be base64 (CALLBACK_SIGNING_SECRET)"


def test_a_frozen_body_says_what_when_and_to_whom_it_happened() -> None:
    body = deliveries.frozen("task.failed", {"taskId": "1", "nul": "\x00"})
    assert body.startswith('{"type":"task.failed","timestamp":"20')
    assert body.endswith('"data":{"taskId":"1","nul":"\\u0000"}}')
