"""Taking in many leads at once: each e-mail and each external id once, whatever else happens at the same time."""

import asyncio
import random
from typing import Any

import pytest
import sqlalchemy as sa
from sync_testkit import Syncs, until

from contactship_common.lead_intake import Intake, NewLead, take_in
from contactship_common.uow import unit_of_work


def lead(number: int, **change: Any) -> NewLead:
    fields = {
        "first_name": f"Ana{number}", "last_name": "García", "email": f"ana{number}@example.com", "source": "csv",
        "phone": f"+54 9 341 {2_000_000 + number}",
    }  # fmt: skip
    return NewLead(**(fields | change))


async def take(syncs: Syncs, leads: list[NewLead]) -> Intake:
    async with unit_of_work(syncs.runtime) as uow:
        return await take_in(uow, leads, event="created", actor="tester")


async def test_of_several_with_one_key_the_first_is_taken(syncs: Syncs) -> None:
    given = [
        lead(1, email="z@example.com", external_id="7"),
        lead(2, email="a@example.com", external_id="7"),
        lead(3, email="z@example.com"),
        lead(4, source="external_api", external_id="7"),
    ]
    intake = await take(syncs, given)
    assert sorted(intake.created) == [0, 3]
    assert intake.skipped == [1, 2]
    rows = await syncs.sql("SELECT id, email FROM leads")
    assert {row["id"] for row in rows} == set(intake.created.values())
    again = await take(syncs, given)
    assert (again.created, again.skipped) == ({}, [0, 1, 2, 3])
    assert await syncs.count("persons") == await syncs.count("lead_events") == 2


async def test_the_first_lead_with_a_phone_answers_it(syncs: Syncs) -> None:
    await take(syncs, [lead(1, phone="+54 9 341 2000000")])
    intake = await take(syncs, [lead(2, phone="+54 9 341 2000000"), lead(3, phone="011-555"), lead(4, phone=None)])
    assert len(intake.created) == 3
    [row] = await syncs.sql("SELECT email FROM lead_phones JOIN leads ON leads.id = lead_id")
    assert row["email"] == "ana1@example.com"
    assert await syncs.count("persons WHERE phone_e164 = '+5493412000000'") == 2


async def test_what_lists_search_and_sort_by_is_filled(syncs: Syncs) -> None:
    await take(syncs, [lead(1)])
    [row] = await syncs.sql("SELECT search_text, name_sort, version FROM leads")
    assert row == {
        "search_text": "ana1 garcía ana1@example.com 5493412000001", "name_sort": "garcía ana1", "version": 1,
    }  # fmt: skip


async def test_nothing_given_is_nothing_done(syncs: Syncs) -> None:
    assert await take(syncs, []) == Intake()


async def test_many_calls_at_once_in_any_order_take_each_key_once(syncs: Syncs) -> None:
    """E-mails in opposite orders, and external ids that move between e-mails: both can lock crosswise."""
    chance = random.Random(7)  # reproducible, not a secret

    def batch() -> list[NewLead]:
        made = [lead(n, external_id=str(chance.randrange(200))) for n in range(200)]
        chance.shuffle(made)
        return made

    batches = [batch() for _ in range(8)]
    intakes = await asyncio.gather(*(take(syncs, each) for each in batches))
    created = sum(len(intake.created) for intake in intakes)
    assert all(len(intake.created) + len(intake.skipped) == 200 for intake in intakes)
    assert created == await syncs.count("leads") == await syncs.count("persons") == await syncs.count("lead_events")
    assert await syncs.count("(SELECT external_id FROM leads GROUP BY 1 HAVING count(*) > 1) AS twice") == 0


async def test_a_deadlock_is_repeated_within_the_transaction(syncs: Syncs) -> None:
    """Somebody holds one key and wants another, in the order that take_in cannot know."""
    async with unit_of_work(syncs.runtime) as other:
        await other.session.execute(sa.text("SET LOCAL deadlock_timeout = '20s'"))
        await take_in(other, [lead(2)], event="created", actor="other")

        async def ours() -> Intake:
            async with unit_of_work(syncs.runtime) as uow:
                await uow.session.execute(sa.text("SET LOCAL deadlock_timeout = '500ms'"))
                return await take_in(uow, [lead(1), lead(2)], event="created", actor="tester")

        running = asyncio.create_task(ours())
        await until(lambda: syncs.count("pg_locks WHERE NOT granted"), "our call to wait")
        taken = await take_in(other, [lead(1)], event="created", actor="other")
        assert len(taken.created) == 1
    intake = await running
    assert (intake.created, intake.skipped) == ({}, [0, 1])
    assert await syncs.count("leads") == await syncs.count("persons") == 2


async def test_what_was_not_validated_is_an_error_and_no_half_of_it_stays(syncs: Syncs) -> None:
    with pytest.raises(sa.exc.DBAPIError):
        await take(syncs, [lead(1), lead(2, first_name="x" * 300)])
    assert await syncs.count("leads") == await syncs.count("persons") == 0
