"""What cancelling and retrying do to those who wait for a task's end, and to what is being sent to them."""

from typing import Any
from uuid import UUID

import pytest
from api_testkit import Api, Sql

from contactship_common.models.base import new_id
from contactship_common.outbound import callbacks
from contactship_common.tasks.catalog import ClassifyMeeting
from contactship_common.uow import unit_of_work

TASKS = "/api/v1/tasks"
URL = "https://receiver.example/hook"


async def waited_for(api: Api) -> UUID:
    """A queued classification that a callback waits for."""
    async with unit_of_work(api.gateway.runtime) as uow:
        task = uow.enqueue(ClassifyMeeting(meeting_id=new_id()))
        await uow.flush()
        await callbacks.want(uow, task.id, URL)
    return task.id


async def delivery(sql: Sql) -> dict[str, Any]:
    [row] = await sql(
        "SELECT d.*, t.id AS delivering, t.status AS task_status FROM outbound_deliveries d"
        " JOIN tasks t ON t.subject_id = d.id"
    )
    return row


async def test_cancelling_a_task_tells_those_who_wait_for_it(api: Api, sql: Sql) -> None:
    task_id = await waited_for(api)
    assert (await api.delete(f"{TASKS}/{task_id}")).status_code == 204
    row = await delivery(sql)
    assert (row["url"], row["event_type"], row["task_id"]) == (URL, "task.cancelled", task_id)
    assert (row["status"], row["task_status"]) == ("pending", "queued")
    assert await sql("SELECT 1 FROM task_callbacks") == []


async def test_a_delivery_that_is_cancelled_has_failed(api: Api, sql: Sql) -> None:
    await api.delete(f"{TASKS}/{await waited_for(api)}")
    row = await delivery(sql)
    shown = (await api.get(f"{TASKS}/{row['delivering']}")).json()
    assert (shown["kind"], shown["links"]["subject"]) == ("outbound.deliver", None)
    assert (await api.delete(f"{TASKS}/{row['delivering']}")).status_code == 204
    row = await delivery(sql)
    assert (row["status"], row["task_status"]) == ("failed", "cancelled")
    assert row["finished_at"] is not None


@pytest.mark.parametrize("deleted", ["meetings/{meeting}", "clients/{client}?cascade=true"])
async def test_deleting_a_meeting_tells_those_who_wait_for_its_classification(api: Api, sql: Sql, deleted: str) -> None:
    client = (await api.post("/api/v1/clients", json={"name": "Ana", "email": "ana@example.com"})).json()
    seller = (await api.post("/api/v1/sellers", json={"name": "Toro", "email": "toro@example.com"})).json()
    body = {"clientId": client["id"], "sellerId": seller["id"], "meetingAt": "2024-03-15T15:00:00Z"}
    meeting = (await api.post("/api/v1/meetings", json=body)).json()
    async with unit_of_work(api.gateway.runtime) as uow:
        task = uow.enqueue(ClassifyMeeting(meeting_id=UUID(meeting["id"])))
        await uow.flush()
        await callbacks.want(uow, task.id, URL)
    path = "/api/v1/" + deleted.format(meeting=meeting["id"], client=client["id"])
    assert (await api.delete(path)).status_code == 204
    assert (await delivery(sql))["event_type"] == "task.cancelled"
