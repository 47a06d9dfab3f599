"""ETag, If-None-Match, If-Match."""

import asyncio

import pytest
from api_testkit import Api, assert_problem, make_lead, new_lead, run_tasks

LEADS = "/api/v1/leads"


async def test_the_tag_is_the_same_in_every_answer_about_one_state(shared_api: Api) -> None:
    posted = await shared_api.post(LEADS, json=new_lead())
    path = posted.headers["location"]
    miss, hit = await shared_api.get(path), await shared_api.get(path)
    assert (miss.headers["x-cache"], hit.headers["x-cache"]) == ("miss", "hit")
    assert posted.headers["etag"] == miss.headers["etag"] == hit.headers["etag"]
    patched = await shared_api.patch(path, json={"status": "lost"})
    assert patched.headers["etag"] != posted.headers["etag"]
    assert (await shared_api.get(path)).headers["etag"] == patched.headers["etag"]
    assert (await shared_api.patch(path, json={"status": "lost"})).headers["etag"] == patched.headers["etag"]
    assert patched.headers["etag"].startswith('"')


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', "*"])
async def test_what_the_client_has_is_304_without_a_body(shared_api: Api, form: str) -> None:
    lead = await make_lead(shared_api)
    path = f"{LEADS}/{lead['id']}"
    etag = (await shared_api.get(path)).headers["etag"]
    answer = await shared_api.get(path, headers={"if-none-match": form.format(etag)})
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
    assert (await shared_api.get(path, headers={"if-none-match": '"other"'})).status_code == 200


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_a_write_on_another_state_is_412_and_changes_nothing(shared_api: Api, method: str) -> None:
    lead = await make_lead(shared_api)
    path = f"{LEADS}/{lead['id']}"
    old = (await shared_api.get(path)).headers["etag"]
    await shared_api.patch(path, json={"status": "contacted"})
    body = {"json": {"status": "lost"}} if method == "PATCH" else {}
    for stale in (old, '"nonsense"', f"W/{old}", ""):
        answer = await shared_api.request(method, path, headers={"if-match": stale}, **body)
        assert_problem(answer, 412, "precondition_failed")
    assert (await shared_api.get(path)).json()["status"] == "contacted"
    current = (await shared_api.get(path)).headers["etag"]
    answer = await shared_api.request(method, path, headers={"if-match": f'"x", {current}'}, **body)
    assert answer.status_code in (200, 204)


async def test_a_star_matches_whatever_is_there(shared_api: Api) -> None:
    lead = await make_lead(shared_api)
    answer = await shared_api.patch(f"{LEADS}/{lead['id']}", json={"status": "lost"}, headers={"if-match": "*"})
    assert answer.status_code == 200
    gone = "01932d5c-89a4-7b6e-9f1a-3a5b7c9d1e2f"
    assert_problem(await shared_api.patch(f"{LEADS}/{gone}", json={}, headers={"if-match": "*"}), 404)


async def test_of_writers_who_read_the_same_state_one_wins(shared_api: Api) -> None:
    lead = await make_lead(shared_api)
    path = f"{LEADS}/{lead['id']}"
    etag = (await shared_api.get(path)).headers["etag"]
    writes = [shared_api.patch(path, json={"firstName": f"Writer {n}"}, headers={"if-match": etag}) for n in range(10)]
    answers = await asyncio.gather(*writes)
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 9
    [winner] = [answer.json() for answer in answers if answer.status_code == 200]
    assert (await shared_api.get(path)).json() == winner


async def test_a_started_and_a_finished_summary_are_other_states(shared_api: Api) -> None:
    lead = await make_lead(shared_api)
    path = f"{LEADS}/{lead['id']}"
    tags = [(await shared_api.get(path)).headers["etag"]]
    task = (await shared_api.post(f"{path}/summarize")).json()["taskId"]
    tags.append((await shared_api.get(path)).headers["etag"])
    await run_tasks(shared_api, task)
    tags.append((await shared_api.get(path)).headers["etag"])
    assert len(set(tags)) == 3
