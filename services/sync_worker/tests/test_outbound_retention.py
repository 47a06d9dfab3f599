"""What was sent is forgotten after TASK_RETENTION_DAYS."""

from contactship_common.models import OutboundAttempt, OutboundDelivery
from contactship_common.runtime import Runtime
from contactship_common.uow import unit_of_work
from contactship_devstack.testing import Sql
from contactship_sync_worker.retention import Retention


async def test_finished_deliveries_go_with_their_attempts_and_pending_ones_stay(runtime: Runtime, sql: Sql) -> None:
    made = {}
    async with unit_of_work(runtime) as uow:
        for name, status in (("old", "succeeded"), ("recent", "failed"), ("pending", "pending")):
            row = OutboundDelivery(url="https://a.example", event_type="x", payload="{}", status=status)
            uow.session.add(row)
            await uow.session.flush()
            uow.session.add(OutboundAttempt(delivery_id=row.id, number=1))
            made[name] = row.id
    await sql("UPDATE outbound_deliveries SET created_at = now() - interval '90 days'")
    await sql("UPDATE outbound_deliveries SET finished_at = now() - interval '31 days' WHERE id = %s", made["old"])
    await sql("UPDATE outbound_deliveries SET finished_at = now() - interval '29 days' WHERE id = %s", made["recent"])
    assert (await Retention(runtime).sweep())["outbound_deliveries"] == 1
    left = {made["recent"], made["pending"]}
    assert {row["id"] for row in await sql("SELECT id FROM outbound_deliveries")} == left
    assert {row["delivery_id"] for row in await sql("SELECT delivery_id FROM outbound_attempts")} == left
