"""A message comes at the very moment at which its lead is deleted: neither waits for the other in a circle."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
import structlog
from inbound_testkit import PHONE, Inbox, incoming
from sqlmodel import col

from contactship_common.conversations.of_leads import lock_with_conversations
from contactship_common.models import Lead
from contactship_common.uow import unit_of_work


@pytest.fixture
def capture() -> Iterator[list[Any]]:
    """What is logged meanwhile."""
    with structlog.testing.capture_logs() as said:
        yield said


async def somebody_waits(inbox: Inbox) -> None:
    async with asyncio.timeout(10):
        while not await inbox.sql(  # noqa: ASYNC110  # locks ring no bell
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ):
            await asyncio.sleep(0.02)


async def test_a_message_from_a_person_whose_lead_is_being_deleted_makes_a_new_lead(
    inbox: Inbox, capture: list[Any]
) -> None:
    await inbox.whatsapp(incoming("Hola"))
    # The number leads to nobody yet, as after an import: what is missing has to be made.
    await inbox.sql("DELETE FROM lead_phones")
    [before] = await inbox.sql("SELECT id FROM leads")
    ref = await inbox.ask(await inbox.put_whatsapp(incoming("¿Siguen ahí?")))

    async with unit_of_work(inbox.runtime) as uow:
        handling: list[asyncio.Task[None]] = []

        async def lock() -> None:
            handling.append(asyncio.create_task(inbox.runner.run(ref.id)))
            await somebody_waits(inbox)
            await uow.session.execute(sa.select(col(Lead.id)).where(col(Lead.id) == before["id"]).with_for_update())

        await lock_with_conversations(uow.session, [before["id"]], lock)
        await uow.session.execute(sa.delete(Lead).where(col(Lead.id) == before["id"]))
    await asyncio.gather(*handling)
    [task] = await inbox.sql("SELECT * FROM tasks WHERE id = %s", ref.id)
    assert (task["status"], task["failures"]) == ("succeeded", 0)
    assert "task.record_delayed" not in {line["event"] for line in capture}, "nobody was thrown out of a deadlock"
    [now] = await inbox.sql("SELECT id FROM leads")
    assert now["id"] != before["id"]
    [talk] = await inbox.sql("SELECT c.lead_id, c.last_seq, lead_phones.lead_id AS answers FROM conversations c"
                             "  JOIN lead_phones ON phone_e164 = %s", PHONE)  # fmt: skip
    assert (talk["lead_id"], talk["answers"], talk["last_seq"]) == (now["id"], now["id"], 1)
