"""One-time codes on their way: derived when they are sent, and nowhere else."""

import io
import itertools
import json
import logging
import re
from collections.abc import Iterator
from urllib.parse import parse_qsl

import pytest
import structlog
from sending_testkit import Sendings, Sql
from vendors.builderbot_server import BuilderBotServer
from vendors.messaging import Say
from vendors.twilio_server import AUTH_TOKEN, TwilioServer

from contactship_common.contact_center.otp_codes import code_of
from contactship_common.contact_center.otp_secret import DEVELOPMENT_OTP_SECRET
from contactship_common.logs import configure_logging
from contactship_common.models import Channel
from contactship_common.settings.core import Environment

NUMBER = "+5491155551234"


async def test_a_code_is_sent_with_the_rest_of_its_life(sendings: Sendings, twilio: TwilioServer) -> None:
    delivery_id = await sendings.code(life="100 seconds")
    assert (await sendings.run(delivery_id))["status"] == "succeeded"
    form = dict(parse_qsl(twilio.requests[0].body.decode()))
    code = code_of(DEVELOPMENT_OTP_SECRET, (await sendings.challenge(delivery_id))["nonce"])
    assert form["Body"] == f"Su código de acceso es: {code}. Válido por 5 minutos. No comparta este código."
    assert 95 <= int(form["ValidityPeriod"]) <= 100
    assert (await sendings.challenge(delivery_id))["status"] == "SENT"


async def test_a_code_that_is_tried_again_is_the_same_code_with_less_life(
    sendings: Sendings, twilio: TwilioServer, sql: Sql
) -> None:
    twilio.script(Say(429, headers={"Retry-After": "1"}))
    delivery_id = await sendings.code(life="100 seconds")
    await sendings.run(delivery_id)
    await sql("UPDATE otp_challenges SET expires_at = expires_at - interval '50 seconds'")
    await sendings.run(delivery_id)
    first, second = [dict(parse_qsl(request.body.decode())) for request in twilio.requests]
    assert first["Body"] == second["Body"]
    assert int(second["ValidityPeriod"]) <= 50
    assert len(twilio.messages) == 1


@pytest.mark.parametrize(
    ("life", "status", "expected"),
    [
        ("-1 seconds", "PENDING", "FAILED"),
        ("5 minutes", "EXPIRED", "EXPIRED"),
        ("5 minutes", "LOCKED", "LOCKED"),
        ("5 minutes", "VERIFIED", "VERIFIED"),
    ],
)
async def test_a_code_that_is_over_before_it_was_sent_is_not_sent(
    sendings: Sendings, twilio: TwilioServer, life: str, status: str, expected: str
) -> None:
    delivery_id = await sendings.code(life=life, status=status)
    task = await sendings.run(delivery_id)
    assert (task["status"], task["error"]["code"]) == ("failed", "otp_outdated")
    row = await sendings.row(delivery_id)
    assert (row["state"], row["error_code"], row["sending_at"]) == ("FAILED", "otp_outdated", None)
    challenge = await sendings.challenge(delivery_id)
    assert (challenge["status"], challenge["interaction"]) == (expected, "FAILED")
    assert twilio.requests == []


async def test_a_code_that_twilio_refuses_has_failed(sendings: Sendings, twilio: TwilioServer) -> None:
    twilio.script(Say(400, code=21610, message=f"Attempt to send to unsubscribed recipient {NUMBER}"))
    delivery_id = await sendings.code()
    assert (await sendings.run(delivery_id))["error"]["code"] == "21610"
    assert (await sendings.challenge(delivery_id))["status"] == "FAILED"


async def test_without_a_secret_in_production_no_code_is_sent(sendings: Sendings, twilio: TwilioServer) -> None:
    sendings.use(environment=Environment.PRODUCTION)
    delivery_id = await sendings.code()
    assert (await sendings.run(delivery_id))["error"]["code"] == "not_configured"
    assert twilio.requests == []


@pytest.fixture
def log(sendings: Sendings, monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Everything the process logs, libraries included, at DEBUG, as a worker in production would."""
    root, levels = logging.getLogger(), {}
    before = (root.handlers, root.level, structlog.get_config())
    settings = sendings.runtime.settings.model_copy(update={"log_level": "DEBUG"})
    for name in ("httpx", "httpcore", "httpx2", "openai", "google_genai", "dramatiq", "uvicorn", "alembic"):
        levels[name] = logging.getLogger(name).level
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    configure_logging(settings, "delivery_worker")
    structlog.configure(cache_logger_on_first_use=False)
    yield written
    root.handlers, level, config = before
    root.setLevel(level)
    structlog.configure(**config)
    for name, value in levels.items():
        logging.getLogger(name).setLevel(value)


async def test_nothing_that_is_sent_and_nobody_it_is_sent_to_stands_in_a_log_or_a_task(
    sendings: Sendings, twilio: TwilioServer, builderbot: BuilderBotServer, sql: Sql, log: io.StringIO
) -> None:
    text = "Estimada Ana, su resultado secreto"
    codes = []
    for kind, channel in itertools.product(range(7), (Channel.SMS, Channel.WHATSAPP, None)):
        vendor = builderbot if channel is Channel.WHATSAPP else twilio
        delivery_id = await (sendings.message(NUMBER, text, channel) if channel else sendings.code(NUMBER))
        told = text
        if channel is None:
            codes.append(code_of(DEVELOPMENT_OTP_SECRET, (await sendings.challenge(delivery_id))["nonce"]))
            told = f"{codes[-1]}"
        parrot = f"cannot send '{told}' to {NUMBER} (5491155551234)"
        ends = (
            Say(), Say(429, headers={"Retry-After": "1"}), Say(503), Say(400, code=21211, message=parrot),
            Say(500, body=parrot), Say(lose="reset"), Say(201, body={"status": "failed", "error_message": parrot}),
        )  # fmt: skip
        vendor.script(ends[kind])
        await sendings.run(delivery_id)
        await sql("UPDATE otp_challenges SET status = 'EXPIRED'")  # one live code a number
    assert (len(twilio.requests), len(builderbot.requests)) == (14, 7)
    tasks = await sql("SELECT kind, payload, result, error, correlation_id FROM tasks")
    audit = await sql("SELECT action, data FROM audit_logs")
    errors = await sql("SELECT error_code, error_message FROM deliveries")
    messages = await sql("SELECT content_text FROM messages WHERE content_text LIKE '%código%'")
    written = log.getvalue()
    assert '"event": "task.ran"' in written  # the log is the one that is looked at
    assert messages == []
    searched = "\n".join([written, *(json.dumps(rows, default=str) for rows in (tasks, audit, errors))])
    for secret in ("5491155551234", "1155551234", text, "su resultado", AUTH_TOKEN, "builderbot-key"):
        assert secret not in searched
    for code in codes:
        assert not re.search(rf"(?<![\w.:-]){code}(?![\w-])", searched)


async def test_a_parrot_of_a_vendor_does_not_repeat_the_code(sendings: Sendings, twilio: TwilioServer) -> None:
    delivery_id = await sendings.code()
    code = code_of(DEVELOPMENT_OTP_SECRET, (await sendings.challenge(delivery_id))["nonce"])
    twilio.script(Say(400, code=30007, message=f"Message with {code} was filtered"))
    task = await sendings.run(delivery_id)
    assert task["error"]["message"] == "Message with *** was filtered"
