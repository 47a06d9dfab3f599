"""Leads from outside on real processes: by trigger and by cron, many at once, and in bulk."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from system_testkit import SceneFactory
from system_testkit.feeds import (
    assert_each_person_once,
    counters,
    ended_job,
    rows_a_second,
    rss_mib,
    sources,
    trigger,
)
from vendors.people import email_of, feed, person
from vendors.randomuser_server import RandomUserServer

pytestmark = pytest.mark.system

POSTS = 20
PEOPLE = 400


@pytest.fixture
def vendor() -> Iterator[RandomUserServer]:
    with RandomUserServer() as server:
        yield server


def test_a_trigger_brings_people_in_once(make_scene: SceneFactory, vendor: RandomUserServer) -> None:
    scene = make_scene("api", "scheduler", "sync_worker", env={"RANDOMUSER_URL": f"{vendor.url}/api/?seed=x"})
    answer = scene.call("POST", "/sync/trigger", 202)
    job = ended_job(scene, answer["id"])
    assert (job["status"], counters(job)) == ("completed", (10, 10, 0, 0))
    detail = scene.call("GET", f"/sync/jobs/{job['id']}", 200)
    assert len(detail["leadIds"]) == 10
    lead = scene.lead(detail["leadIds"][0])
    told = person(0)
    assert (lead["source"], lead["email"], lead["externalId"]) == ("external_api", told["email"], told["login"]["uuid"])
    assert lead["metadata"] == {"location": "Rosario, Argentina", "profession": "AR"}
    assert lead["person"]["address"]["postcode"] == "2000"
    assert scene.call("GET", f"/tasks/{answer['taskId']}", 200)["result"]["fetched"] == 10
    again = ended_job(scene, trigger(scene, "randomuser", 10))
    assert (again["status"], counters(again)) == ("completed", (10, 0, 10, 0))
    scene.until_quiet()
    scene.assert_nothing_was_lost()


def test_one_tick_is_one_run_with_two_schedulers_and_three_workers(
    make_scene: SceneFactory, vendor: RandomUserServer
) -> None:
    every_two_seconds = {"RANDOMUSER_URL": f"{vendor.url}/api/", "SYNC_CRON": "*/2 * * * * *", "SYNC_BATCH_SIZE": "7"}
    scene = make_scene("api", scheduler=2, sync_worker=3, env=every_two_seconds)
    done = "sync_jobs WHERE status = 'completed'"
    scene.until(lambda: scene.count(done) >= 3, "three ticks")
    for name in ("scheduler", "scheduler-2"):
        assert scene.stack.sigterm(name) == 0
    scene.stack.start("scheduler", env={"SYNC_CRON": "off"})
    scene.until_quiet()
    jobs = scene.sql("SELECT * FROM sync_jobs ORDER BY id")
    assert len({job["scheduled_for"] for job in jobs}) == len(jobs)
    assert {(job["status"], job["records_created"], job["requested_by"]) for job in jobs} == {
        ("completed", 7, "scheduler")
    }
    assert vendor.calls["/api/"] == len(jobs)
    assert scene.count("leads") == scene.count("sync_job_leads") == 7 * len(jobs)
    ticked = scene.stack.logs("scheduler") + scene.stack.logs("scheduler-2")
    assert ticked.count("cron.ticked") == len(jobs)


def test_two_syncs_a_file_and_twenty_posts_with_the_same_people_make_each_once(
    make_scene: SceneFactory, vendor: RandomUserServer
) -> None:
    both = sources(crm=feed(vendor.url, "pages", PEOPLE), shop=feed(vendor.url, "cursor", PEOPLE))
    scene = make_scene("api", "scheduler", sync_worker=2, env=both)
    chosen = random.Random(7).sample(range(PEOPLE), POSTS)
    url = f"{scene.stack.api_url}/api/v1/leads"

    def post(number: int) -> int:
        body = {"firstName": "Ana", "lastName": "Paz", "email": f" {email_of(number).upper()} "}
        return scene.http.post(url, json=body).status_code

    lines = ["name;email", *(f"Ana Paz;{email_of(number).title()}" for number in range(PEOPLE))]
    form = {"file": ("people.csv", "\n".join(lines).encode(), "text/csv")}
    with ThreadPoolExecutor(POSTS) as threads:
        jobs = [trigger(scene, name, 100) for name in ("crm", "shop")]
        upload = scene.call("POST", "/leads/import", 202, files=form)
        statuses = list(threads.map(post, chosen))
    found = [ended_job(scene, job) for job in jobs]
    assert [job["status"] for job in found] == ["completed", "completed"]
    scene.until_quiet()
    file = scene.call("GET", f"/leads/imports/{upload['importId']}", 200)
    assert (file["status"], file["recordsProcessed"], file["recordsFailed"]) == ("completed", PEOPLE, 0)
    assert set(statuses) <= {201, 409}
    for job in found:
        processed, created, skipped, failed = counters(job)
        assert (processed, created + skipped, failed) == (PEOPLE, PEOPLE, 0)
        assert scene.count("sync_job_leads WHERE job_id = %(id)s", id=job["id"]) == created
    made = statuses.count(201) + file["recordsCreated"] + sum(job["recordsCreated"] for job in found)
    assert made == PEOPLE
    rows = scene.sql("SELECT email FROM leads")
    assert sorted(row["email"] for row in rows) == sorted(email_of(number) for number in range(PEOPLE))
    assert scene.count("persons") == PEOPLE
    scene.assert_nothing_was_lost()


@pytest.mark.parametrize(
    ("people", "pages"),
    [(5_000, 5), pytest.param(100_000, 20, marks=pytest.mark.chaos)],
    ids=["5000", "100000"],
)
def test_a_big_feed_is_taken_in_fast_and_in_flat_memory(
    make_scene: SceneFactory,
    vendor: RandomUserServer,
    people: int,
    pages: int,
) -> None:
    scene = make_scene("api", "scheduler", "sync_worker", env=sources(crm=feed(vendor.url, "cursor", people)))
    job_id = trigger(scene, "crm", people // pages)
    memory: list[float] = []

    def some_pages_applied() -> bool:
        memory.append(rss_mib(scene, "sync_worker"))
        return scene.count("sync_pages WHERE applied_at IS NOT NULL") >= pages // 4

    scene.until(some_pages_applied, "the first quarter", seconds=120)
    settled = max(memory)
    while scene.count("sync_jobs WHERE completed_at IS NULL"):
        memory.append(rss_mib(scene, "sync_worker"))
    job = ended_job(scene, job_id)
    assert (job["status"], counters(job)) == ("completed", (people, people, 0, 0))
    assert_each_person_once(scene, people)
    rate = rows_a_second(scene, job_id)
    print(
        f"{people} people: {rate:,.0f} rows/s, memory {settled:.0f} MiB after a quarter, {max(memory):.0f} MiB at most"
    )
    # The rest needs no more than the first quarter, and whatever the allocator keeps of a page.
    assert max(memory) < settled + 40
    # A tenth of what an idle machine of two cores does: catches a statement a row, not a busy neighbour.
    assert rate > 1_000
