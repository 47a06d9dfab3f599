"""POST /leads/{id}/summarize, and what a lead says about its summary."""

import asyncio
from typing import Any

from api_testkit import Api, Sql, assert_problem, end_task, ending_task, make_lead, run_tasks, start_task, until_blocked

LEADS = "/api/v1/leads"


async def summarize(api: Api, lead: dict[str, Any], query: str = "") -> str:
    answer = await api.post(f"{LEADS}/{lead['id']}/summarize{query}")
    assert answer.status_code == 202, answer.text
    task_id: str = answer.json()["taskId"]
    return task_id


async def shown(api: Api, lead: dict[str, Any]) -> tuple[str, Any, Any]:
    """Status, summary and error as the detail shows them: read twice (filled and cached), and as the list does."""
    first = (await api.get(f"{LEADS}/{lead['id']}")).json()
    assert (await api.get(f"{LEADS}/{lead['id']}")).json() == first
    [listed] = [row for row in (await api.get(LEADS)).json()["data"] if row["id"] == lead["id"]]
    assert listed == first
    return first["summaryStatus"], first["summary"], first["summaryError"]


async def test_asking_is_accepted_and_says_where_to_look(api: Api, sql: Sql) -> None:
    lead = await make_lead(api)
    answer = await api.post(f"{LEADS}/{lead['id']}/summarize")
    body = answer.json()
    assert answer.status_code == 202
    assert set(body) == {"leadId", "taskId", "status", "message"}
    assert (body["leadId"], body["status"]) == (lead["id"], "processing")
    assert answer.headers["location"] == f"/api/v1/tasks/{body['taskId']}"
    assert int(answer.headers["retry-after"]) >= 1
    [task] = await sql("SELECT kind, queue, payload, subject_id::text, slot FROM tasks")
    assert task["kind"] == "lead.summary"
    assert task["payload"] == {"lead_id": lead["id"]}
    assert task["subject_id"] == lead["id"]


async def test_a_hundred_clicks_at_once_are_one_task(api: Api, sql: Sql) -> None:
    lead = await make_lead(api)
    tasks = await asyncio.gather(*(summarize(api, lead, "?force=true" if n % 5 == 0 else "") for n in range(100)))
    assert len(set(tasks)) == 1
    assert len(await sql("SELECT 1 FROM tasks")) == 1


async def test_the_status_follows_the_task_and_so_does_the_cached_copy(api: Api) -> None:
    lead = await make_lead(api)
    assert await shown(api, lead) == ("none", None, None)
    task = await summarize(api, lead)
    assert await shown(api, lead) == ("processing", None, None)
    await run_tasks(api, task, summary="They want a demo")
    assert await shown(api, lead) == ("ready", "They want a demo", None)
    assert (await api.get(f"{LEADS}/{lead['id']}")).json()["summaryGeneratedAt"].endswith("Z")


async def test_a_first_summary_that_fails_says_why(api: Api) -> None:
    lead = await make_lead(api)
    await run_tasks(api, await summarize(api, lead), fails=True)
    status, summary, error = await shown(api, lead)
    assert (status, summary) == ("failed", None)
    assert error == {"code": "model_refused", "message": "The model refused"}
    again = await summarize(api, lead)
    assert await shown(api, lead) == ("processing", None, None)
    await run_tasks(api, again)
    assert (await shown(api, lead))[0] == "ready"


async def test_a_later_failure_leaves_the_earlier_summary_as_it_was(api: Api) -> None:
    lead = await make_lead(api)
    await run_tasks(api, await summarize(api, lead), summary="The first")
    await run_tasks(api, await summarize(api, lead, "?force=true"), fails=True)
    assert await shown(api, lead) == ("ready", "The first", None)


async def test_a_cancelled_first_summary_has_failed_and_a_later_one_changes_nothing(api: Api) -> None:
    lead = await make_lead(api)
    await api.delete(f"/api/v1/tasks/{await summarize(api, lead)}")
    status, _, error = await shown(api, lead)
    assert (status, error["code"]) == ("failed", "cancelled")
    await run_tasks(api, await summarize(api, lead), summary="Written")
    await api.delete(f"/api/v1/tasks/{await summarize(api, lead, '?force=true')}")
    assert await shown(api, lead) == ("ready", "Written", None)


async def test_a_fresh_summary_is_answered_with_the_bare_lead(api: Api, sql: Sql) -> None:
    lead = await make_lead(api)
    await run_tasks(api, await summarize(api, lead))
    answer = await api.post(f"{LEADS}/{lead['id']}/summarize")
    assert answer.status_code == 200
    body = answer.json()
    assert (body["id"], body["summaryStatus"]) == (lead["id"], "ready")
    read = await api.get(f"{LEADS}/{lead['id']}")
    assert body == read.json()
    assert answer.headers["etag"] == read.headers["etag"]
    assert len(await sql("SELECT 1 FROM tasks")) == 1


async def test_changed_facts_or_age_or_force_make_a_new_task(api: Api, sql: Sql) -> None:
    lead = await make_lead(api)
    tasks = [await summarize(api, lead)]
    await run_tasks(api, tasks[-1])
    await api.patch(f"{LEADS}/{lead['id']}", json={"externalId": "x"})
    assert (await api.post(f"{LEADS}/{lead['id']}/summarize")).status_code == 200
    await api.patch(f"{LEADS}/{lead['id']}", json={"status": "qualified"})
    tasks.append(await summarize(api, lead))
    await run_tasks(api, tasks[-1])
    await sql("UPDATE leads SET summary_generated_at = now() - interval '25 hours'")
    tasks.append(await summarize(api, lead))
    await run_tasks(api, tasks[-1])
    assert (await api.post(f"{LEADS}/{lead['id']}/summarize")).status_code == 200
    tasks.append(await summarize(api, lead, "?force=true"))
    assert len(set(tasks)) == 4


async def test_what_waits_already_is_answered_even_if_the_last_summary_is_fresh(api: Api) -> None:
    lead = await make_lead(api)
    await run_tasks(api, await summarize(api, lead))
    forced = await summarize(api, lead, "?force=true")
    assert await summarize(api, lead) == forced


async def test_a_click_while_the_summary_is_being_stored_gives_that_summary(api: Api, sql: Sql) -> None:
    lead = await make_lead(api)
    run = await start_task(api, await summarize(api, lead))
    async with ending_task(api, run, summary="Just written"):
        click = asyncio.create_task(api.post(f"{LEADS}/{lead['id']}/summarize"))
        await until_blocked(sql, "the click to meet the run that ends")
    answer = await click
    assert (answer.status_code, answer.json()["summary"]) == (200, "Just written")
    assert len(await sql("SELECT 1 FROM tasks")) == 1


async def test_force_while_it_runs_runs_once_more_and_a_mere_click_does_not(api: Api) -> None:
    for query, after in (("", "completed"), ("?force=true", "queued")):
        lead = await make_lead(api)
        task = await summarize(api, lead)
        run = await start_task(api, task)
        assert await summarize(api, lead, query) == task
        await end_task(api, run)
        assert (await api.get(f"/api/v1/tasks/{task}")).json()["status"] == after


async def test_facts_that_change_while_it_runs_are_summarised_too(api: Api) -> None:
    lead = await make_lead(api)
    task = await summarize(api, lead)
    run = await start_task(api, task)
    await api.patch(f"{LEADS}/{lead['id']}", json={"nationality": "AR"})
    assert await summarize(api, lead) == task
    await end_task(api, run)
    assert (await shown(api, lead))[0] == "processing"
    await run_tasks(api, task, summary="The second")
    assert await shown(api, lead) == ("ready", "The second", None)


async def test_an_unknown_lead_or_a_wrong_flag_is_refused(shared_api: Api) -> None:
    path = f"{LEADS}/01932d5c-89a4-7b6e-9f1a-3a5b7c9d1e2f/summarize"
    assert_problem(await shared_api.post(path), 404, "lead_not_found")
    assert_problem(await shared_api.post(f"{path}?force=perhaps"), 422)
