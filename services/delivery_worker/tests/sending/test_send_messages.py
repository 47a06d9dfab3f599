"""One message, run by run, through vendors that speak HTTP for real."""

import asyncio
import base64
import json
from urllib.parse import parse_qs, parse_qsl

import pytest
from sending_testkit import Sendings, Sql
from vendors.builderbot_server import API_KEY, BuilderBotServer
from vendors.messaging import Say
from vendors.twilio_server import ACCOUNT_SID, AUTH_TOKEN, FROM_NUMBER, TwilioServer

from contactship_common.contact_center import delivery_reports
from contactship_common.masking import mask_phone
from contactship_common.models import Channel
from contactship_common.settings.core import Environment
from contactship_common.uow import unit_of_work
from contactship_delivery_worker.senders.base import Outgoing
from contactship_delivery_worker.senders.twilio import TwilioSender
from contactship_devstack.polling import free_port

NUMBER = "+5491155551234"


async def test_an_sms_goes_out_as_twilio_wants_it(sendings: Sendings, twilio: TwilioServer) -> None:
    sendings.use(PUBLIC_BASE_URL="http://127.0.0.1:3999")
    delivery_id = await sendings.message(NUMBER, "Hola, ¿mañana a las 9? ñ 🙂 a+b&c=d")
    task = await sendings.run(delivery_id)
    assert (task["status"], task["result"]) == ("succeeded", {"provider": "TWILIO", "status": "queued"})
    [request] = twilio.requests
    assert request.path == f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json"
    assert base64.b64decode(request.headers["authorization"].split()[1]).decode() == f"{ACCOUNT_SID}:{AUTH_TOKEN}"
    assert dict(parse_qsl(request.body.decode())) == {
        "To": NUMBER,
        "From": FROM_NUMBER,
        "Body": "Hola, ¿mañana a las 9? ñ 🙂 a+b&c=d",
        "StatusCallback": f"http://127.0.0.1:3999/api/v1/webhooks/twilio/sms/status?delivery={delivery_id}",
    }
    row, message = await sendings.row(delivery_id), await sendings.posted(delivery_id)
    assert (row["state"], row["provider"], row["provider_status"]) == ("SENT", "TWILIO", "queued")
    assert row["provider_message_id"] == message["provider_message_id"] == twilio.messages[0].id
    assert message["status"] == "SENT"
    assert message["sent_at"] == row["sent_at"] is not None


async def test_a_messaging_service_goes_before_a_number(sendings: Sendings, twilio: TwilioServer) -> None:
    sendings.use(TWILIO_MESSAGING_SERVICE_SID="MG0123")
    delivery_id = await sendings.message()
    await sendings.run(delivery_id)
    form = parse_qs(twilio.requests[0].body.decode())
    assert form["MessagingServiceSid"] == ["MG0123"]
    assert "From" not in form
    assert (await sendings.row(delivery_id))["provider_status"] == "accepted"


@pytest.mark.parametrize(
    ("base_url", "asked"),
    [("", False), ("http://127.0.0.1:3000", True), ("https://crm.example.com", True)],
)
async def test_reports_are_asked_for_only_where_they_can_come(
    sendings: Sendings, twilio: TwilioServer, base_url: str, asked: bool
) -> None:
    sendings.use(PUBLIC_BASE_URL=base_url)
    await sendings.run(await sendings.message())
    assert ("StatusCallback" in parse_qs(twilio.requests[0].body.decode())) is asked


async def test_the_real_twilio_is_never_asked_to_report_to_this_machine(
    sendings: Sendings, twilio: TwilioServer
) -> None:
    """It refuses such a message as a whole."""
    sendings.use(TWILIO_API_BASE_URL="https://api.twilio.com")
    sender = TwilioSender(sendings.settings)
    for here in ("http://localhost:3000/x", "http://127.0.0.1/x", "http://[::1]:3000/x"):
        assert "StatusCallback" not in sender._form(Outgoing(NUMBER, "Hola", callback_url=here))
    there = sender._form(Outgoing(NUMBER, "Hola", callback_url="https://crm.example.com/x"))
    assert there["StatusCallback"] == "https://crm.example.com/x"
    await sender.aclose()


async def test_a_whatsapp_message_goes_out_as_builderbot_wants_it(
    sendings: Sendings, builderbot: BuilderBotServer
) -> None:
    url = "https://example.com/catalogo.png"
    delivery_id = await sendings.message(NUMBER, "El catálogo", Channel.WHATSAPP, url)
    assert (await sendings.run(delivery_id))["status"] == "succeeded"
    [request] = builderbot.requests
    assert request.headers["x-api-builderbot"] == API_KEY
    assert json.loads(request.body) == {
        "messages": {"content": "El catálogo", "mediaUrl": url},
        "number": "5491155551234",
        "checkIfExists": False,
    }
    row = await sendings.row(delivery_id)
    assert (row["state"], row["provider"], row["provider_message_id"]) == ("SENT", "BUILDERBOT", None)


@pytest.mark.parametrize(
    "body", ["", "OK", "[]", "null", '{"data": null}', '{"id": 7}', "{broken", '{"status": ["x"]}', "x" * 300_000]
)
@pytest.mark.parametrize("channel", [Channel.SMS, Channel.WHATSAPP])
async def test_whatever_a_vendor_says_with_a_200_the_message_is_sent(
    sendings: Sendings, twilio: TwilioServer, builderbot: BuilderBotServer, body: str, channel: Channel
) -> None:
    for vendor in (twilio, builderbot):
        vendor.always(Say(200, body=body))
    delivery_id = await sendings.message(channel=channel)
    assert (await sendings.run(delivery_id))["status"] == "succeeded"
    assert (await sendings.row(delivery_id))["state"] == "SENT"


async def test_a_vendor_that_names_everything_the_same_loses_no_message(
    sendings: Sendings, builderbot: BuilderBotServer
) -> None:
    builderbot.always(Say(200, body={"id": "bot-7f3a"}))
    first, second = [await sendings.message(channel=Channel.WHATSAPP) for _ in range(2)]
    for delivery_id in (first, second):
        assert (await sendings.run(delivery_id))["status"] == "succeeded"
        assert (await sendings.posted(delivery_id))["status"] == "SENT"
    assert (await sendings.row(first))["provider_message_id"] == "bot-7f3a"
    assert (await sendings.row(second))["provider_message_id"] is None


@pytest.mark.parametrize(
    ("code", "message", "shown"),
    [
        (21211, "Invalid 'To' Phone Number: +5491155551234", "Invalid 'To' Phone Number: ***"),
        (
            21610,
            "Attempt to send to unsubscribed recipient 5491155551234",
            "Attempt to send to unsubscribed recipient ***",
        ),
        (21614, "'To' number is not a valid mobile number", "'To' number is not a valid mobile number"),
        (
            30034,
            "Message 'un secreto' blocked; call +1 415 867 5309",
            f"Message '***' blocked; call {mask_phone('+1 415 867 5309')}",
        ),
        ("unknown", "who knows", "who knows"),
        (None, "", "The provider refused it"),
    ],
)
async def test_a_refusal_is_told_in_the_vendors_words_without_numbers_and_texts(
    sendings: Sendings, twilio: TwilioServer, code: int | str | None, message: str, shown: str
) -> None:
    twilio.script(Say(400, code=code, message=message))
    delivery_id = await sendings.message(text="un secreto")
    task = await sendings.run(delivery_id)
    named = {"None": "http_400", "unknown": "refused"}.get(str(code), str(code))
    assert (task["status"], task["error"]) == ("failed", {"code": named, "message": shown})
    for row in (await sendings.row(delivery_id), await sendings.posted(delivery_id)):
        assert (row["error_code"], row["error_message"]) == (named, shown)
    assert (await sendings.row(delivery_id))["state"] == "FAILED"
    assert (await sendings.posted(delivery_id))["status"] == "FAILED"
    assert twilio.messages == []


async def test_wrong_credentials_fail_the_message_and_say_so(sendings: Sendings, twilio: TwilioServer) -> None:
    sendings.use(TWILIO_AUTH_TOKEN="wrong")
    task = await sendings.run(await sendings.message())
    assert (task["status"], task["error"]) == ("failed", {"code": "20003", "message": "Authenticate"})


@pytest.mark.parametrize("channel", [Channel.SMS, Channel.WHATSAPP])
@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_vendor_is_given_the_time_it_asks_for_uncounted_and_gets_one_message(
    sendings: Sendings, twilio: TwilioServer, builderbot: BuilderBotServer, status: int, channel: Channel
) -> None:
    vendor = twilio if channel is Channel.SMS else builderbot
    vendor.script(*[Say(status, headers={"Retry-After": "7"})] * 8)
    delivery_id = await sendings.message(channel=channel)
    for _ in range(8):  # more often than there are attempts
        task = await sendings.run(delivery_id)
        assert (task["status"], task["failures"], task["intent_at"]) == ("queued", 0, None)
        assert task["error"]["code"] == "provider_busy"
        assert 5 < task["waits"] <= 7
        assert (await sendings.posted(delivery_id))["status"] == "PENDING"
    assert (await sendings.run(delivery_id))["status"] == "succeeded"
    assert (len(vendor.requests), len(vendor.messages)) == (9, 1)


async def test_a_vendor_that_is_not_there_is_tried_again(sendings: Sendings, twilio: TwilioServer) -> None:
    sendings.use(TWILIO_API_BASE_URL=f"http://127.0.0.1:{free_port()}")
    delivery_id = await sendings.message()
    task = await sendings.run(delivery_id)
    assert (task["status"], task["failures"], task["error"]["code"]) == ("queued", 1, "provider_unreachable")
    sendings.use()
    assert (await sendings.run(delivery_id))["status"] == "succeeded"
    assert len(twilio.messages) == 1


async def test_a_vendor_that_stays_away_fails_the_message_which_was_surely_not_sent(sendings: Sendings) -> None:
    sendings.use(TWILIO_API_BASE_URL=f"http://127.0.0.1:{free_port()}")
    delivery_id = await sendings.message()
    task = await sendings.run(delivery_id)
    while task["status"] == "queued":
        task = await sendings.run(delivery_id)
    assert (task["status"], task["error"]["code"]) == ("failed", "provider_unreachable")
    row = await sendings.row(delivery_id)
    assert (row["state"], row["error_code"]) == ("FAILED", "provider_unreachable")


LOST = [
    Say(lose="reset"), Say(lose="closed"), Say(500), Say(502), Say(504), Say(503), Say(302, headers={"Location": "/x"}),
]  # fmt: skip


@pytest.mark.parametrize("channel", [Channel.SMS, Channel.WHATSAPP])
@pytest.mark.parametrize("say", LOST, ids=lambda say: say.lose or str(say.status))
async def test_a_message_whose_answer_is_lost_is_not_sent_again(
    sendings: Sendings, twilio: TwilioServer, builderbot: BuilderBotServer, say: Say, channel: Channel
) -> None:
    vendor = twilio if channel is Channel.SMS else builderbot
    vendor.script(say)
    sendings.use(DELIVERY_UNKNOWN_AFTER="600")
    delivery_id = await sendings.message(channel=channel)
    task = await sendings.run(delivery_id)
    assert (task["status"], task["error"]["code"]) == ("failed", "unknown")
    row = await sendings.row(delivery_id)
    assert (row["state"], row["error_code"]) == ("SENDING", "unknown")
    assert (await sendings.posted(delivery_id))["status"] == "PENDING"
    waiting = await sendings.task(delivery_id, "delivery.settle")
    assert 590 < waiting["waits"] <= 600
    assert (await sendings.run(delivery_id, "delivery.settle"))["result"] == {"unknown": True}
    row, message = await sendings.row(delivery_id), await sendings.posted(delivery_id)
    assert (row["state"], row["error_code"]) == ("UNKNOWN", "unknown")
    assert (message["status"], message["error_code"]) == ("FAILED", "unknown")
    assert len(vendor.requests) == 1


async def test_a_report_settles_what_the_lost_answer_left_open(sendings: Sendings, twilio: TwilioServer) -> None:
    twilio.script(Say(lose="reset"))
    delivery_id = await sendings.message()
    await sendings.run(delivery_id)
    assert await sendings.report(delivery_id, "delivered", provider_message_id=twilio.messages[0].id)
    assert (await sendings.run(delivery_id, "delivery.settle"))["result"] == {"unknown": False}
    row, message = await sendings.row(delivery_id), await sendings.posted(delivery_id)
    assert (row["state"], row["error_code"], row["provider_message_id"]) == ("DELIVERED", None, twilio.messages[0].id)
    assert (message["status"], message["error_code"]) == ("DELIVERED", None)


async def test_a_report_that_comes_before_the_answer_is_kept(sendings: Sendings, twilio: TwilioServer) -> None:
    twilio.script(Say(lose="hold"))
    delivery_id = await sendings.message()
    running = asyncio.create_task(sendings.run(delivery_id))
    [taken] = await asyncio.to_thread(twilio.wait_for, 1)
    assert await sendings.report(delivery_id, "sent", provider_message_id=taken.id)
    twilio.release()
    assert (await running)["status"] == "succeeded"
    row = await sendings.row(delivery_id)
    assert (row["provider_status"], row["provider_message_id"]) == ("sent", taken.id)


async def test_a_run_that_finds_an_intent_sends_nothing_even_with_its_attempts_used_up(
    sendings: Sendings, twilio: TwilioServer, sql: Sql
) -> None:
    for failures in (0, 99):
        delivery_id = await sendings.message()
        await sql(
            "UPDATE tasks SET intent_at = now(), failures = %s WHERE subject_id = %s AND kind = 'delivery.send'",
            failures,
            delivery_id,
        )
        await sql("UPDATE deliveries SET state = 'SENDING' WHERE id = %s", delivery_id)
        assert (await sendings.run(delivery_id))["status"] == "failed"
        row = await sendings.row(delivery_id)
        assert (row["state"], row["error_code"]) == ("SENDING", "unknown")
        assert (await sendings.task(delivery_id, "delivery.settle"))["status"] == "queued"
    assert twilio.requests == []


async def test_a_run_after_a_lost_answer_sends_nothing_whoever_queued_it_again(
    sendings: Sendings, twilio: TwilioServer, sql: Sql
) -> None:
    twilio.script(Say(lose="reset"))
    delivery_id = await sendings.message()
    task = await sendings.run(delivery_id)
    await sql("UPDATE tasks SET status = 'queued', intent_at = NULL WHERE id = %s", task["id"])
    assert (await sendings.run(delivery_id))["result"] == {"state": "SENDING"}
    assert len(twilio.requests) == 1


async def test_five_runs_at_once_are_one_message(sendings: Sendings, twilio: TwilioServer) -> None:
    delivery_id = await sendings.message()
    task = await sendings.task(delivery_id)
    runners = [sendings.make_runner(f"worker-{n}") for n in range(5)]
    await asyncio.gather(*(runner.run(task["id"]) for runner in runners))
    assert (await sendings.task(delivery_id))["run_no"] == 1
    assert len(twilio.messages) == 1


async def test_a_stopped_worker_hands_back_what_the_vendor_holds_and_it_is_not_sent_again(
    sendings: Sendings, twilio: TwilioServer
) -> None:
    twilio.script(Say(lose="hold"))
    delivery_id = await sendings.message()
    running = asyncio.create_task(sendings.run(delivery_id))
    await asyncio.to_thread(twilio.wait_for, 1)
    await sendings.runner.drain(0.1)
    task = await running
    assert (task["status"], task["error"]["code"]) == ("queued", "handed_back")
    assert task["intent_at"] is not None
    sendings.use()
    assert (await sendings.run(delivery_id))["error"]["code"] == "unknown"
    assert len(twilio.requests) == 1


async def test_a_message_that_turned_out_sent_before_its_second_sending_began_is_sent_once(
    sendings: Sendings, twilio: TwilioServer
) -> None:
    twilio.script(Say(lose="reset"))
    first = await sendings.message()
    await sendings.run(first)
    await sendings.run(first, "delivery.settle")
    second = await sendings.again(first)
    assert (await sendings.posted(first))["status"] == "PENDING"
    await sendings.report(first, "sent")
    assert (await sendings.run(second))["error"]["code"] == "already_sent"
    assert (await sendings.row(second))["state"] == "FAILED"
    message = await sendings.posted(first)
    assert (message["status"], message["error_code"]) == ("SENT", None)
    assert len(twilio.requests) == 1


async def test_a_message_that_was_deleted_is_not_sent(sendings: Sendings, twilio: TwilioServer, sql: Sql) -> None:
    delivery_id = await sendings.message()
    await sql("DELETE FROM conversations")
    assert (await sendings.run(delivery_id))["status"] == "cancelled"
    assert twilio.requests == []


async def test_without_a_provider_a_message_fails_as_not_configured(sendings: Sendings) -> None:
    sendings.use("TWILIO_ACCOUNT_SID", "BUILDERBOT_API_KEY", environment=Environment.PRODUCTION)
    for channel in (Channel.SMS, Channel.WHATSAPP):
        delivery_id = await sendings.message(channel=channel)
        assert (await sendings.run(delivery_id))["error"]["code"] == "not_configured"
        assert (await sendings.posted(delivery_id))["error_code"] == "not_configured"


async def test_in_development_without_credentials_the_message_is_printed(
    sendings: Sendings, twilio: TwilioServer, capfd: pytest.CaptureFixture[str]
) -> None:
    sendings.use("TWILIO_ACCOUNT_SID")
    delivery_id = await sendings.message(NUMBER, "Hola\n¿mañana?")
    assert (await sendings.run(delivery_id))["status"] == "succeeded"
    assert f"✉  SMS to {NUMBER}: Hola\n   ¿mañana?\n" in capfd.readouterr().out
    row = await sendings.row(delivery_id)
    assert (row["state"], row["provider"]) == ("DELIVERED", "GENERIC")
    assert (await sendings.posted(delivery_id))["status"] == "DELIVERED"
    assert twilio.requests == []


async def test_a_settled_delivery_stays_as_it_is(sendings: Sendings) -> None:
    delivery_id = await sendings.message()
    await sendings.run(delivery_id)
    before = await sendings.row(delivery_id)
    async with unit_of_work(sendings.runtime) as uow:
        assert not await delivery_reports.settle_unknown(uow, delivery_id)
        assert not await delivery_reports.fail(uow, delivery_id, "late", "too late")
        assert not await delivery_reports.answer_lost(uow, delivery_id)
    assert await sendings.row(delivery_id) == before
