"""Many webhooks that wait are handled in one transaction, with what would have come of each by itself."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from inbound_testkit import PHONE, Inbox, incoming, transcription

from contactship_common.contact_center.phones import lock_phone
from contactship_common.models import WebhookEndpoint
from contactship_common.settings import ContactCenterSettings
from contactship_common.tasks.catalog import HandleWebhook
from contactship_common.tasks.runner import Runner
from contactship_common.tasks.together import Member
from contactship_common.uow import Context, UnitOfWork, unit_of_work
from contactship_delivery_worker.handlers.handle_webhook import WebhookHandler

ANYBODY = UUID(int=0)


def phone(n: int) -> str:
    return f"+54911400000{n:02d}"


def told(n: int, who: int, **changes: Any) -> dict[str, Any]:
    return incoming(f"consulta {n}", **{"from": phone(who)[1:], "name": f"Persona {who}"} | changes)


def call(n: int, who: int) -> dict[str, Any]:
    about = transcription(f"conv_{n}")
    about["data"]["metadata"]["phone_call"]["external_number"] = phone(who)
    return about


async def ring(inbox: Inbox, runner: Runner | None = None) -> None:
    """What one ring for all of them leads to."""
    await (runner or inbox.runner).run(ANYBODY, HandleWebhook.KIND)


async def ended(inbox: Inbox) -> list[dict[str, Any]]:
    return await inbox.sql("SELECT * FROM tasks WHERE kind = 'webhook.handle' ORDER BY id")


async def rows_of(inbox: Inbox) -> list[dict[str, Any]]:
    """What came of everything, without ids and times."""
    return await inbox.sql("""
        SELECT 'message' AS what, persons.first_name AS who, messages.content_text AS what_for, messages.seq AS n,
               messages.status, conversations.channel, conversations.unread_count AS m, conversations.last_seq AS k,
               interactions.customer_phone, interactions.direction, interactions.provider,
               messages.sender_type, (SELECT count(*) FROM interaction_events e
                                       WHERE e.interaction_id = interactions.id) AS told
          FROM messages JOIN conversations ON conversations.id = messages.conversation_id
          JOIN leads ON leads.id = conversations.lead_id JOIN persons ON persons.id = leads.person_id
          JOIN interactions ON interactions.id = messages.interaction_id
         UNION ALL
        SELECT 'call', persons.first_name, details.transcript_text, details.duration_sec, interactions.status,
               interactions.channel, NULL, NULL, interactions.customer_phone, interactions.direction,
               interactions.provider, interactions.assigned_agent,
               (SELECT count(*) FROM interaction_events e WHERE e.interaction_id = interactions.id)
          FROM interactions JOIN call_details details ON details.interaction_id = interactions.id
          LEFT JOIN leads ON leads.id = interactions.lead_id LEFT JOIN persons ON persons.id = leads.person_id
         ORDER BY 1, 2, 3, 4""")


async def put_all_sorts(inbox: Inbox) -> int:
    """Messages on both channels from four people, calls, events that say nothing, and rubbish."""
    entries = [await inbox.put_whatsapp(told(n, n % 4)) for n in range(20)]
    for n in range(6):
        form = {"MessageSid": f"SM{n:032d}", "From": phone(n % 3), "To": "+14155550100", "Body": f"sms {n}"}
        entries.append(await inbox.put_sms(form))
    entries += [await inbox.put_call(call(n, n)) for n in range(5)]
    entries.append(await inbox.put_call(call(4, 4) | {"type": "post_call_audio"}))
    entries.append(await inbox.put_whatsapp({"eventName": "presence.update", "data": {"id": "1"}}))
    for entry in entries:
        await inbox.ask(entry)
    return len(entries)


async def test_together_leads_to_what_one_by_one_leads_to(inbox: Inbox) -> None:
    sent = await put_all_sorts(inbox)
    await ring(inbox)
    together, tasks = await rows_of(inbox), await ended(inbox)
    assert [task["status"] for task in tasks] == ["succeeded"] * sent
    assert len({task["finished_at"] for task in tasks}) <= 4, "all but the odd ones ended in one transaction"
    assert await inbox.sql("SELECT 1 FROM webhook_inbox WHERE handled_at IS NULL OR attempts <> 1") == []
    [audited] = await inbox.sql("SELECT count(*) AS n FROM audit_logs WHERE action = 'lead.create'")
    assert audited["n"] == await inbox.count("leads") == 5
    assert await inbox.sql("SELECT 1 FROM lead_phones WHERE lead_id NOT IN (SELECT id FROM leads)") == []

    await inbox.sql("TRUNCATE leads, persons, interactions, webhook_inbox, tasks CASCADE")
    await put_all_sorts(inbox)
    for task in await ended(inbox):
        await inbox.runner.run(task["id"])
    assert await rows_of(inbox) == together


async def test_each_task_ends_with_its_own_result(inbox: Inbox) -> None:
    for n in range(3):
        await inbox.ask(await inbox.put_whatsapp(told(n, n)))
    await inbox.ask(await inbox.put_call(call(1, 1)))
    await ring(inbox)
    *messages, spoken = await ended(inbox)
    for n, task in enumerate(messages):
        [row] = await inbox.sql(
            "SELECT m.content_text, c.lead_id FROM messages m JOIN conversations c ON c.id = m.conversation_id"
            " WHERE m.id = %s", task["result"]["messageId"],
        )  # fmt: skip
        assert (row["content_text"], str(row["lead_id"])) == (f"consulta {n}", task["result"]["leadId"])
    assert spoken["result"]["leadId"] == messages[1]["result"]["leadId"], "the call is from the second person"
    [interaction] = await inbox.sql("SELECT lead_id FROM interactions WHERE id = %s", spoken["result"]["interactionId"])
    assert str(interaction["lead_id"]) == spoken["result"]["leadId"]


async def test_one_that_breaks_takes_no_other_down(inbox: Inbox) -> None:
    await inbox.sql("ALTER TABLE messages ADD CHECK (content_text <> 'consulta 3')")
    for n in range(8):
        await inbox.ask(await inbox.put_whatsapp(told(n, n)))
    await ring(inbox)
    tasks = await ended(inbox)
    assert [task["status"] for task in tasks] == ["succeeded"] * 3 + ["queued"] + ["succeeded"] * 4
    assert (tasks[3]["failures"], tasks[3]["error"]["code"]) == (1, "internal_error")
    assert await inbox.count("messages") == await inbox.count("leads") == 7
    await inbox.sql("UPDATE tasks SET run_at = now() WHERE status = 'queued'")
    await ring(inbox)
    assert (await ended(inbox))[3]["run_no"] == 1, "what failed once is left to a ring of its own"


async def test_what_cannot_be_understood_stays_with_its_reason(inbox: Inbox) -> None:
    for event in (told(1, 1), b"{nonsense", told(2, 2)):
        await inbox.ask(await inbox.put_whatsapp(event))
    await ring(inbox)
    assert [task["status"] for task in await ended(inbox)] == ["succeeded", "failed", "succeeded"]
    [left] = await inbox.sql("SELECT error FROM webhook_inbox WHERE handled_at IS NULL")
    assert left["error"]["code"]


async def test_rounds_that_race_for_the_same_people_lose_and_double_nothing(inbox: Inbox) -> None:
    for n in range(120):
        await inbox.ask(await inbox.put_whatsapp(told(n, n % 5)) if n % 3 else await inbox.put_call(call(n, n % 5)))
    handlers = {HandleWebhook.KIND: WebhookHandler(ContactCenterSettings())}
    workers = [Runner(inbox.runtime, handlers, owner=f"worker-{n}") for n in range(3)]
    await asyncio.gather(*(ring(inbox, worker) for worker in workers for _ in range(3)))
    assert {task["status"] for task in await ended(inbox)} == {"succeeded"}
    assert {task["run_no"] for task in await ended(inbox)} == {1}
    talks = await inbox.sql(
        "SELECT c.last_seq, c.unread_count, array_agg(m.seq ORDER BY m.seq) AS seqs"
        "  FROM conversations c JOIN messages m ON m.conversation_id = c.id GROUP BY c.id"
    )
    assert len(talks) == await inbox.count("leads") == 5
    for talk in talks:
        assert talk["seqs"] == list(range(1, talk["last_seq"] + 1))
        assert talk["unread_count"] == talk["last_seq"]
    assert [await inbox.count(table) for table in ("messages", "call_details", "interaction_events")] == [80, 40, 120]


async def test_messages_of_one_person_keep_the_order_in_which_they_came(inbox: Inbox) -> None:
    for n in range(40):
        await inbox.ask(await inbox.put_whatsapp(told(n, n % 2)))
    await ring(inbox)
    for who in range(2):
        rows = await inbox.sql(
            "SELECT m.content_text FROM messages m JOIN interactions i ON i.id = m.interaction_id"
            " WHERE i.customer_phone = %s ORDER BY m.seq", phone(who),
        )  # fmt: skip
        assert [row["content_text"] for row in rows] == [f"consulta {n}" for n in range(who, 40, 2)]


async def test_the_same_message_twice_is_one_message(inbox: Inbox) -> None:
    await inbox.whatsapp(told(0, 1, id="wamid.known"))
    for n, message_id in enumerate(("wamid.new", "wamid.known", "wamid.new")):
        event = told(n, 1, id=message_id) | {"eventName": f"message.incoming{' ' * n}"}
        body = json.dumps(event).encode()
        entry = await inbox.put_whatsapp(told(n, 1))
        await inbox.sql(
            "UPDATE webhook_inbox SET body = %s WHERE id = %s", body.replace(b"incoming ", b"incoming"), entry
        )
        await inbox.ask(entry)
    await ring(inbox)
    assert await inbox.count("messages") == 2
    assert await inbox.sql("SELECT 1 FROM webhook_inbox WHERE handled_at IS NULL") == []


async def test_somebody_who_is_busy_elsewhere_holds_up_nobody_else(inbox: Inbox) -> None:
    await inbox.whatsapp(told(0, 0))
    async with unit_of_work(inbox.runtime) as uow:
        await lock_phone(uow, phone(0))
        for n in range(1, 7):
            await inbox.ask(await inbox.put_whatsapp(told(n, n % 3)))
        running = asyncio.create_task(ring(inbox))
        await _until_there_are(inbox, 5)
        await inbox.ask(await inbox.put_whatsapp(told(7, 1)))
        later = asyncio.create_task(ring(inbox))
        await _until_there_are(inbox, 6)
    await asyncio.gather(running, later)
    assert await inbox.count("messages") == 8
    assert {task["status"] for task in await ended(inbox)} == {"succeeded"}


async def _until_there_are(inbox: Inbox, messages: int) -> None:
    async with asyncio.timeout(15):
        while await inbox.count("messages") < messages:  # noqa: ASYNC110  # rows ring no bell
            await asyncio.sleep(0.05)


class Slow(WebhookHandler):
    """While it writes, a newer run takes the first task over."""

    async def record_together(self, uow: UnitOfWork, members: Sequence[Member]) -> Mapping[UUID, dict[str, Any]]:
        async with unit_of_work(uow.runtime) as other:
            await (await other.session.connection()).exec_driver_sql(
                "UPDATE tasks SET run_no = run_no + 1 WHERE id = %(id)s", {"id": members[0].task.id}
            )
        return await super().record_together(uow, members)


async def test_a_round_whose_task_was_overtaken_writes_nothing_for_it(inbox: Inbox) -> None:
    for n in range(4):
        await inbox.ask(await inbox.put_whatsapp(told(n, n)))
    slow = Runner(inbox.runtime, {HandleWebhook.KIND: Slow(ContactCenterSettings())}, owner="slow")
    await ring(inbox, slow)
    tasks = await ended(inbox)
    assert [task["status"] for task in tasks] == ["running"] + ["succeeded"] * 3
    texts = await inbox.sql("SELECT content_text FROM messages ORDER BY content_text")
    assert [row["content_text"] for row in texts] == ["consulta 1", "consulta 2", "consulta 3"]


async def test_whoever_subscribed_is_told_of_each_on_behalf_of_its_request(inbox: Inbox) -> None:
    events = ["lead.created", "message.received", "interaction.completed"]
    async with unit_of_work(inbox.runtime) as uow:
        uow.session.add(WebhookEndpoint(url="https://example.com/hook", events=events, secret="whsec_MDEyMzQ1"))
    for n in range(3):
        entry = await inbox.put_whatsapp(told(n, n)) if n else await inbox.put_call(call(n, n))
        async with unit_of_work(inbox.runtime, Context(actor="provider:test", request_id=f"req-{n}")) as uow:
            uow.enqueue(HandleWebhook(inbox_id=entry))
    await ring(inbox)
    rows = await inbox.sql(
        "SELECT d.event_type, t.correlation_id FROM outbound_deliveries d JOIN tasks t ON t.subject_id = d.id"
        " ORDER BY 2, 1"
    )
    assert [(row["correlation_id"], row["event_type"]) for row in rows] == [
        ("req-0", "interaction.completed"), ("req-0", "lead.created"),
        ("req-1", "lead.created"), ("req-1", "message.received"),
        ("req-2", "lead.created"), ("req-2", "message.received"),
    ]  # fmt: skip


async def test_a_message_to_a_closed_conversation_starts_another(inbox: Inbox) -> None:
    await inbox.whatsapp(incoming("Hola"))
    await inbox.sql("UPDATE conversations SET status = 'CLOSED'")
    await inbox.sql("UPDATE interactions SET status = 'COMPLETED', ended_at = now()")
    for text in ("¿Siguen ahí?", "¿Hola?"):
        await inbox.ask(await inbox.put_whatsapp(incoming(text)))
    await ring(inbox)
    talks = await inbox.sql("SELECT status, last_seq FROM conversations ORDER BY created_at")
    assert [(talk["status"], talk["last_seq"]) for talk in talks] == [("CLOSED", 1), ("OPEN", 2)]
    assert {row["customer_phone"] for row in await inbox.sql("SELECT customer_phone FROM interactions")} == {PHONE}
