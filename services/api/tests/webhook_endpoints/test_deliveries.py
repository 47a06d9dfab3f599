"""/webhook-endpoints/{id}/deliveries: what was sent, and sending it again."""

import asyncio
from typing import Any

from api_testkit import Api, Sql, assert_problem

from contactship_common.outbound import events
from contactship_common.uow import unit_of_work

PATH = "/api/v1/webhook-endpoints"
URL = "https://203.0.114.9/hook"  # a public address: no name has to be looked up
ENDED = "UPDATE tasks SET status = 'succeeded', slot = NULL, finished_at = now()"


async def make(api: Api, *event_types: str) -> str:
    """An endpoint; the path of its deliveries."""
    answer = await api.post(PATH, json={"url": URL, "events": list(event_types) or ["lead.created"]})
    return f"{PATH}/{answer.json()['id']}/deliveries"


async def publish(api: Api, event_type: str = "lead.created", count: int = 1) -> None:
    async with unit_of_work(api.gateway.runtime) as uow:
        for number in range(count):
            await events.publish(uow, event_type, {"number": number})


async def listed(api: Api, path: str, **query: Any) -> list[dict[str, Any]]:
    answer = await api.get(path, params=query)
    assert answer.status_code == 200, answer.text
    data: list[dict[str, Any]] = answer.json()["data"]
    return data


async def test_deliveries_are_listed_newest_first_each_once(api: Api) -> None:
    path = await make(api)
    await make(api)
    await publish(api, count=7)
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(3):
        query = {"limit": 3} | ({"cursor": cursor} if cursor else {})
        page = (await api.get(path, params=query)).json()
        seen += [row["id"] for row in page["data"]]
        cursor = page["meta"]["nextCursor"]
    assert cursor is None
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == 7
    assert_problem(await api.get(path, params={"cursor": "x"}), 400, "bad_cursor")


async def test_deliveries_are_filtered_and_count_their_attempts(api: Api, sql: Sql) -> None:
    path = await make(api, "lead.created", "lead.updated")
    await publish(api, "lead.created")
    await publish(api, "lead.updated")
    [row] = await listed(api, path, eventType="lead.updated")
    assert (row["status"], row["attempts"], row["lastStatusCode"], row["lastError"]) == ("pending", 0, None, None)
    await sql(
        "INSERT INTO outbound_attempts (delivery_id, number, duration_ms, status_code, error)"
        " VALUES (%s, 1, 20, NULL, 'timeout'), (%s, 2, 31, 500, 'refused')",
        row["id"], row["id"],
    )  # fmt: skip
    await sql("UPDATE outbound_deliveries SET status = 'failed' WHERE id = %s", row["id"])
    [failed] = await listed(api, path, status="failed")
    assert (failed["id"], failed["attempts"]) == (row["id"], 2)
    assert (failed["lastStatusCode"], failed["lastError"]) == (500, "refused")
    detail = (await api.get(f"{path}/{row['id']}")).json()
    assert (detail["payload"]["type"], detail["payload"]["data"]) == ("lead.updated", {"number": 0})
    assert [(a["number"], a["statusCode"], a["error"], a["durationMs"]) for a in detail["attemptLog"]] == [
        (1, None, "timeout", 20),
        (2, 500, "refused", 31),
    ]
    for bad in ({"status": "lost"}, {"eventType": "x"}):
        assert_problem(await api.get(path, params=bad), 422, "validation_failed")


async def test_one_endpoints_deliveries_are_not_found_under_another(api: Api) -> None:
    path, other = await make(api), await make(api, "lead.updated")
    await publish(api)
    [row] = await listed(api, path)
    assert_problem(await api.get(f"{other}/{row['id']}"), 404, "webhook_delivery_not_found")
    assert_problem(await api.post(f"{other}/{row['id']}/redeliver"), 404, "webhook_delivery_not_found")
    assert await listed(api, other) == []


async def test_twenty_who_ask_at_once_for_the_same_delivery_get_one_task(api: Api, sql: Sql) -> None:
    path = await make(api)
    await publish(api)
    [row] = await listed(api, path)
    await sql(ENDED)
    await sql("UPDATE outbound_deliveries SET status = 'succeeded', finished_at = now()")
    answers = await asyncio.gather(*(api.post(f"{path}/{row['id']}/redeliver") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {202}
    [task_id] = {answer.json()["taskId"] for answer in answers}
    assert answers[0].headers["location"] == f"/api/v1/tasks/{task_id}"
    assert len(await sql("SELECT 1 FROM tasks WHERE status = 'queued'")) == 1
    [row] = await listed(api, path)
    assert (row["status"], row["finishedAt"]) == ("pending", None)


async def test_what_waits_for_its_next_attempt_is_brought_forward(api: Api, sql: Sql) -> None:
    path = await make(api)
    await publish(api)
    [row] = await listed(api, path)
    await sql("UPDATE tasks SET run_at = now() + interval '5 hours', started_at = now()")
    task_id = (await api.post(f"{path}/{row['id']}/redeliver")).json()["taskId"]
    [task] = await sql("SELECT id::text, run_at <= now() AS due FROM tasks")
    assert task == {"id": task_id, "due": True}


async def test_all_that_failed_since_a_moment_is_sent_again_once(api: Api, sql: Sql) -> None:
    path = await make(api)
    await publish(api, count=5)
    rows = await listed(api, path)
    await sql(ENDED)
    await sql("UPDATE outbound_deliveries SET status = 'failed', finished_at = now()")
    await sql("UPDATE outbound_deliveries SET status = 'succeeded' WHERE id = %s", rows[0]["id"])
    old, since = rows[4]["id"], rows[4]["createdAt"]
    await sql("UPDATE outbound_deliveries SET created_at = created_at - interval '1 hour' WHERE id = %s", old)
    answers = await asyncio.gather(
        *(api.post(f"{path.removesuffix('/deliveries')}/redeliver-failed", json={"since": since}) for _ in range(4)),
    )
    assert {answer.status_code for answer in answers} == {202}
    assert sum(answer.json()["queued"] for answer in answers) == 3
    assert [row["status"] for row in await listed(api, path)] == [
        "succeeded",
        "pending",
        "pending",
        "pending",
        "failed",
    ]
    queued = await sql("SELECT subject_id::text, payload FROM tasks WHERE status = 'queued'")
    assert {row["subject_id"] for row in queued} == {row["id"] for row in rows[1:4]}
    assert all(row["payload"] == {"delivery_id": row["subject_id"]} for row in queued)
    assert_problem(
        await api.post(f"{path.removesuffix('/deliveries')}/redeliver-failed", json={}), 422, "validation_failed"
    )


async def test_a_ping_is_a_delivery_like_any_other(api: Api) -> None:
    path = await make(api)
    answer = await api.post(path.replace("deliveries", "test"))
    assert answer.status_code == 202
    [row] = await listed(api, path, eventType="ping")
    assert row["id"] == answer.json()["deliveryId"]
    task = (await api.get(answer.headers["location"])).json()
    assert (task["id"], task["kind"], task["status"]) == (answer.json()["taskId"], "outbound.deliver", "queued")
