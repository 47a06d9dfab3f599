"""Deliveries in this process: publish one, run its attempts one by one, look at the rows."""

from typing import Any
from uuid import UUID

from contactship_common.outbound import deliveries
from contactship_common.outbound.client import OutboundClient
from contactship_common.runtime import Runtime
from contactship_common.settings import DeliverySettings
from contactship_common.tasks.catalog import DeliverOutbound
from contactship_common.tasks.runner import Runner
from contactship_common.uow import Context, unit_of_work
from contactship_delivery_worker.handlers.deliver_outbound import DeliverOverHttp
from contactship_delivery_worker.lanes import Lanes
from contactship_devstack.testing import Sql

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Deliveries:
    def __init__(self, runtime: Runtime, client: OutboundClient, sql: Sql, **settings: Any) -> None:
        self.runtime = runtime
        self.client = client
        self.sql = sql
        self.per_receiver = 8
        self.use(**settings)

    def use(self, **settings: Any) -> None:
        """Go on with these settings, as after a restart of the worker."""
        lanes = Lanes(per_receiver=self.per_receiver, in_all=32)
        self.handler = DeliverOverHttp(self.client, self.runtime.settings, DeliverySettings(**settings), lanes)
        self.runner = self.make_runner("worker-1")

    def make_runner(self, owner: str) -> Runner:
        return Runner(self.runtime, {DeliverOutbound.KIND: self.handler}, owner=owner)

    async def publish(self, url: str, data: dict[str, Any] | None = None) -> UUID:
        """A delivery to this URL; returns its id."""
        body = deliveries.frozen("meeting.classified", data or {"meetingId": "1"})
        async with unit_of_work(self.runtime, Context(actor="tester")) as uow:
            return deliveries.publish(uow, url=url, event_type="meeting.classified", body=body)

    async def task(self, delivery_id: UUID) -> dict[str, Any]:
        """The delivery's task, with `waits`: the seconds from its claim to its next run."""
        [row] = await self.sql(
            "SELECT *, extract(epoch FROM run_at - claimed_at)::float8 AS waits FROM tasks WHERE subject_id = %s",
            delivery_id,
        )
        return row

    async def attempt(self, delivery_id: UUID) -> dict[str, Any]:
        """Let the next attempt be due, make it, and return the task."""
        task = await self.task(delivery_id)
        await self.sql("UPDATE tasks SET run_at = now() WHERE id = %s AND status = 'queued'", task["id"])
        await self.runner.run(task["id"])
        return await self.task(delivery_id)

    async def row(self, delivery_id: UUID) -> dict[str, Any]:
        [row] = await self.sql("SELECT * FROM outbound_deliveries WHERE id = %s", delivery_id)
        return row

    async def attempts(self, delivery_id: UUID) -> list[tuple[Any, ...]]:
        """Number, status and error of every attempt, in their order."""
        rows = await self.sql("SELECT * FROM outbound_attempts WHERE delivery_id = %s ORDER BY number", delivery_id)
        return [(row["number"], row["status_code"], row["error"]) for row in rows]
