"""Classifying many at once: batches of 500, and everything that is not classified yet."""

import asyncio
import time
from typing import Any

import pytest
from api_testkit import Api, MakeApi, Sql, assert_problem, start_task
from classification_testkit import change_transcript, classify, make_meeting, make_meetings

from contactship_common.models.base import new_id
from contactship_common.tasks import store
from contactship_common.tasks.catalog import ClassifyMeeting

BATCH = "/api/v1/workers/classify/batch"
QUEUE = "/api/v1/classifications/queue-unclassified"


async def test_every_id_of_a_batch_is_accounted_for(api: Api, sql: Sql) -> None:
    plain, silent, done, waiting = [await make_meeting(api) for _ in range(4)]
    await sql("UPDATE meetings SET transcript = NULL WHERE id = %s", silent)
    await classify(api, done)
    open_task = (await api.post(f"/api/v1/workers/classify/{waiting}")).json()["taskId"]
    unknown = str(new_id())
    ids = [plain, silent, done, waiting, unknown, plain]
    answer = await api.post(BATCH, json={"meetingIds": ids})
    body = answer.json()
    assert answer.status_code == 202
    assert body["meetingIds"] == [plain, waiting]
    assert body["totalQueued"] == len(body["queuedTasks"]) == 2
    assert body["queuedTasks"][1] == open_task
    assert (body["alreadyClassified"], body["withoutTranscript"], body["notFound"]) == ([done], [silent], [unknown])
    assert answer.headers["location"] == f"/api/v1/workers/batch/{body['batchId']}"
    forced = (await api.post(BATCH, json={"meetingIds": [done], "forceReprocess": True})).json()
    assert forced["meetingIds"] == [done]


async def test_progress_adds_up_at_every_moment(api: Api, sql: Sql) -> None:
    meetings = await make_meetings(api, 4)
    made = (await api.post(BATCH, json={"meetingIds": meetings})).json()
    address = f"/api/v1/workers/batch/{made['batchId']}"
    seen = []

    async def look() -> None:
        body = (await api.get(address)).json()
        assert body["total"] == body["completed"] + body["failed"] + body["processing"] == 4
        seen.append((body["completed"], body["failed"], body["processing"], body["cancelled"], body["status"]))

    await look()
    for number, task_id in enumerate(made["queuedTasks"]):
        if number == 2:
            assert (await api.delete(f"/api/v1/tasks/{task_id}")).status_code == 204
        else:
            task = await start_task(api, task_id)
            await look()
            ending = "failed" if number == 1 else "succeeded"
            await store.finish(api.gateway.runtime.db.fast, task, ending)
        await look()
    assert seen[0] == (0, 0, 4, 0, "processing")
    assert seen[-1] == (2, 2, 0, 1, "completed")


async def test_a_transcript_that_changes_while_it_runs_is_classified_once_more(api: Api, sql: Sql) -> None:
    changed, same = await make_meetings(api, 2)
    started = {}
    for meeting_id in (changed, same):
        started[meeting_id] = (await api.post(f"/api/v1/workers/classify/{meeting_id}")).json()["taskId"]
        await start_task(api, started[meeting_id])
    await change_transcript(api, changed)
    body = (await api.post(BATCH, json={"meetingIds": [changed, same]})).json()
    assert body["queuedTasks"] == list(started.values())
    [again] = await sql("SELECT subject_id::text AS id FROM tasks WHERE rerun")
    assert again["id"] == changed


async def test_an_unknown_batch_is_404(api: Api) -> None:
    assert_problem(await api.get(f"/api/v1/workers/batch/{new_id()}"), 404, "batch_not_found")
    assert_problem(await api.get("/api/v1/workers/batch/none"), 404)


async def test_a_batch_is_seen_by_who_may_read_its_meetings(api: Api) -> None:
    made = (await api.post(BATCH, json={"meetingIds": [await make_meeting(api)]})).json()
    for scope, status in (("meetings:read", 200), ("leads:read", 404), ("tasks:read", 200)):
        key = (await api.post("/api/v1/api-keys", json={"name": scope, "scopes": [scope]})).json()["key"]
        client = api.client({"x-api-key": key})
        assert (await client.get(f"/api/v1/workers/batch/{made['batchId']}")).status_code == status
        assert (await client.get(f"/api/v1/tasks/batches/{made['batchId']}")).status_code == status


@pytest.mark.parametrize("ids", [[], ["01932d5c-89a4-7b6e-9f1a-3a5b7c9d1e2f"] * 501, ["x"], None, "all"])
async def test_a_batch_has_1_to_500_ids(api: Api, ids: Any) -> None:
    assert_problem(await api.post(BATCH, json={"meetingIds": ids}), 422, "validation_failed")


async def test_a_batch_of_500_is_500_tasks_in_a_moment(api: Api, sql: Sql) -> None:
    meetings = await make_meetings(api, 500)
    started = time.perf_counter()
    body = (await api.post(BATCH, json={"meetingIds": meetings})).json()
    seconds = time.perf_counter() - started
    assert body["totalQueued"] == len(set(body["queuedTasks"])) == 500
    assert (await sql("SELECT count(*) AS n FROM batch_items"))[0]["n"] == 500
    assert seconds < 5


class TestQueueUnclassified:
    async def test_only_what_has_a_transcript_and_neither_result_nor_open_task_is_queued(
        self, api: Api, sql: Sql
    ) -> None:
        plain, silent, done, waiting, retried, failed = [await make_meeting(api) for _ in range(6)]
        await sql("UPDATE meetings SET transcript = NULL WHERE id = %s", silent)
        await classify(api, done)
        for meeting_id in (waiting, retried, failed):
            await api.post(f"/api/v1/workers/classify/{meeting_id}")
        await sql("UPDATE tasks SET slot = NULL WHERE subject_id = %s", retried)  # as retrying by hand leaves it
        await sql("UPDATE tasks SET slot = NULL, status = 'failed' WHERE subject_id = %s", failed)
        answer = await api.post(QUEUE)
        assert (answer.status_code, answer.json()) == (202, {"queued": 2, "total": 4})
        assert answer.headers["location"] == "/api/v1/tasks?kind=meeting.classification"
        assert (await api.get(answer.headers["location"])).status_code == 200
        open_tasks = await sql("SELECT subject_id::text AS id FROM tasks WHERE status = 'queued'")
        assert sorted(row["id"] for row in open_tasks) == sorted([plain, waiting, retried, failed])
        assert (await api.post(QUEUE)).json() == {"queued": 0, "total": 4}

    async def test_what_is_queued_in_one_statement_is_what_the_kind_says(self, api: Api, sql: Sql) -> None:
        one, other = await make_meetings(api, 2)
        await api.post(f"/api/v1/workers/classify/{one}")
        await api.post(QUEUE)
        rows = {row.pop("subject_id"): row for row in await sql("SELECT * FROM tasks")}
        task = rows[(kind := ClassifyMeeting.model_validate({"meeting_id": other})).meeting_id]
        assert task["slot"] == kind.slot()
        assert task["payload"] == {"meeting_id": other}
        assert task["id"].version == 7
        assert task["priority"] > rows[ClassifyMeeting.model_validate({"meeting_id": one}).meeting_id]["priority"]
        [first] = [row for subject, row in rows.items() if str(subject) == one]
        same = ("kind", "queue", "status", "holds", "rerun", "run_no", "failures", "max_attempts", "requested_by")
        assert {name: task[name] for name in same} == {name: first[name] for name in same}
        assert task["correlation_id"]
        assert (await start_task(api, str(task["id"]))).payload == {"meeting_id": other}

    async def test_ten_thousand_in_seconds_and_twice_at_once_each_only_once(
        self, api: Api, make_api: MakeApi, sql: Sql
    ) -> None:
        await make_meetings(api, 10_000)
        started = time.perf_counter()
        answers = await asyncio.gather(*(api.post(QUEUE) for _ in range(4)))
        seconds = time.perf_counter() - started
        print(f"10,000 queued, asked for 4 times at once: {seconds:.2f} s")
        assert [answer.status_code for answer in answers] == [202] * 4
        assert sum(answer.json()["queued"] for answer in answers) == 10_000
        assert (await sql("SELECT count(*) AS n, count(DISTINCT subject_id) AS m FROM tasks"))[0] == {
            "n": 10_000,
            "m": 10_000,
        }
        assert seconds < 10

    async def test_it_is_audited(self, api: Api, sql: Sql) -> None:
        await api.post(QUEUE)
        [row] = await sql("SELECT data FROM audit_logs WHERE action = 'classification.queue'")
        assert row["data"] == {"queued": 0, "total": 0}
