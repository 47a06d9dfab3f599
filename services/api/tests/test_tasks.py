"""/tasks: what became of work, for whoever may see it."""

from typing import Any

import pytest
from api_testkit import Api, Sql, assert_problem, end_task, make_lead, run_tasks, start_task

LEADS, TASKS = "/api/v1/leads", "/api/v1/tasks"


async def summarize(api: Api, by: Any = None) -> str:
    lead = await make_lead(api)
    answer = await (by or api.root).post(f"{LEADS}/{lead['id']}/summarize")
    task_id: str = answer.json()["taskId"]
    return task_id


async def insert_task(sql: Sql, kind: str, requested_by: str) -> str:
    [row] = await sql(
        "INSERT INTO tasks (id, kind, queue, priority, payload, status, holds, rerun, run_no, failures, max_attempts, "
        "requested_by) VALUES (gen_random_uuid(), %s, 'sync', 100, '{}', 'queued', 'ended', false, 0, 0, 5, %s) "
        "RETURNING id::text",
        kind,
        requested_by,
    )
    return str(row["id"])


async def test_a_task_tells_all_about_itself(api: Api) -> None:
    lead = await make_lead(api)
    task_id = (await api.post(f"{LEADS}/{lead['id']}/summarize")).json()["taskId"]
    task = (await api.get(f"{TASKS}/{task_id}")).json()
    assert task.pop("createdAt").endswith("Z")
    assert task.pop("maxAttempts") >= 1
    assert task == {
        "id": task_id, "kind": "lead.summary", "status": "queued", "subjectId": lead["id"], "attempt": 1,
        "error": None, "result": None, "startedAt": None, "finishedAt": None,
        "links": {"self": f"{TASKS}/{task_id}", "subject": f"{LEADS}/{lead['id']}"},
    }  # fmt: skip
    run = await start_task(api, task_id)
    running = (await api.get(f"{TASKS}/{task_id}")).json()
    assert running["status"] == "processing"
    assert running["startedAt"].endswith("Z")
    await end_task(api, run)
    ended = (await api.get(f"{TASKS}/{task_id}")).json()
    assert ended["status"] == "completed"
    assert ended["finishedAt"].endswith("Z")


async def test_the_attempt_shown_counts_from_one_and_never_past_the_last(api: Api, sql: Sql) -> None:
    task = await summarize(api)
    for failures, attempt in ((0, 1), (1, 2), (2, 3), (99, None)):
        await sql("UPDATE tasks SET failures = %s", failures)
        shown = (await api.get(f"{TASKS}/{task}")).json()
        assert shown["attempt"] == (attempt or shown["maxAttempts"])


async def test_the_list_is_newest_first_and_walked_by_cursor(api: Api) -> None:
    made = [await summarize(api) for _ in range(7)]
    seen: list[str] = []
    parameters: dict[str, Any] = {"limit": 3}
    while True:
        body = (await api.get(TASKS, params=parameters)).json()
        assert {"nextCursor", "hasNextPage"} <= body["meta"].keys()
        seen += [task["id"] for task in body["data"]]
        if not body["meta"]["hasNextPage"]:
            break
        parameters["cursor"] = body["meta"]["nextCursor"]
    assert seen == made[::-1]
    assert_problem(await api.get(TASKS, params={"cursor": "x"}), 400, "bad_cursor")


async def test_the_list_is_narrowed_by_kind_status_and_subject(api: Api, sql: Sql) -> None:
    done, waiting = await summarize(api), await summarize(api)
    await run_tasks(api, done)
    other = await insert_task(sql, "sync.run", "key:root")
    subject = (await api.get(f"{TASKS}/{done}")).json()["subjectId"]

    async def ids(**wanted: str) -> set[str]:
        return {task["id"] for task in (await api.get(TASKS, params=wanted)).json()["data"]}

    assert await ids(kind="lead.summary") == {done, waiting}
    assert await ids(status="completed") == {done}
    assert await ids(status="queued") == {waiting, other}
    assert await ids(subjectId=subject) == {done}
    assert await ids(kind="lead.summary", status="processing") == set()
    for wrong in (
        {"status": "succeeded"},
        {"subjectId": "1"},
        {"limit": "0"},
        {"limit": "101"},
        {"kind": "x" * 101},
        {"take": "1"},
    ):
        assert_problem(await api.get(TASKS, params=wrong), 422)


async def test_an_agent_sees_their_own_and_those_about_what_they_may_read(api: Api, sql: Sql) -> None:
    agent, admin = await api.client_for("SALES_AGENT"), await api.client_for("ADMIN")
    theirs = await insert_task(sql, "sync.run", f"user:{agent.headers['x-test-user']}")
    foreign = await insert_task(sql, "sync.run", "key:root")
    about_a_lead = await summarize(api)

    async def listed(client: Any) -> set[str]:
        return {task["id"] for task in (await client.get(TASKS)).json()["data"]}

    assert await listed(agent) == {theirs, about_a_lead}
    assert await listed(admin) == {theirs, foreign, about_a_lead}
    assert (await agent.get(f"{TASKS}/{theirs}")).status_code == 200
    assert_problem(await agent.get(f"{TASKS}/{foreign}"), 404, "task_not_found")
    assert_problem(await agent.delete(f"{TASKS}/{foreign}"), 404, "task_not_found")
    assert_problem(await agent.delete(f"{TASKS}/{about_a_lead}"), 403, "forbidden")
    assert (await agent.delete(f"{TASKS}/{theirs}")).status_code == 204
    assert (await admin.delete(f"{TASKS}/{foreign}")).status_code == 204


async def test_a_queued_task_can_be_cancelled_once(api: Api, sql: Sql) -> None:
    task = await summarize(api)
    assert (await api.delete(f"{TASKS}/{task}")).status_code == 204
    assert (await api.get(f"{TASKS}/{task}")).json()["status"] == "cancelled"
    assert_problem(await api.delete(f"{TASKS}/{task}"), 409, "task_not_cancellable")
    assert len(await sql("SELECT 1 FROM audit_logs WHERE action = 'task.cancel'")) == 1


@pytest.mark.parametrize("ended", [False, True])
async def test_a_running_and_an_ended_task_cannot_be_cancelled(api: Api, ended: bool) -> None:
    task = await summarize(api)
    run = await start_task(api, task)
    if ended:
        await end_task(api, run)
    assert_problem(await api.delete(f"{TASKS}/{task}"), 409, "task_not_cancellable")


async def test_a_failed_task_runs_again_and_no_other_does(api: Api) -> None:
    task = await summarize(api)
    assert_problem(await api.post(f"{TASKS}/{task}/retry"), 409, "task_not_retryable")
    await run_tasks(api, task, fails=True)
    assert (await api.get(f"{TASKS}/{task}")).json()["error"]["code"] == "model_refused"
    answer = await api.post(f"{TASKS}/{task}/retry")
    assert answer.status_code == 202
    assert answer.headers["location"] == f"{TASKS}/{task}"
    assert answer.headers["retry-after"] == "1"
    assert (answer.json()["status"], answer.json()["attempt"], answer.json()["error"]) == ("queued", 1, None)
    await run_tasks(api, task)
    assert (await api.get(f"{TASKS}/{task}")).json()["status"] == "completed"
    assert_problem(await api.post(f"{TASKS}/{task}/retry"), 409)
