"""A sync whose worker is killed again and again ends as if nothing had happened."""

import os
import random
from collections.abc import Iterator

import pytest
from system_testkit import SHORT_LEASE, Scene, SceneFactory
from system_testkit.feeds import assert_each_person_once, counters, ended_job, holding, sources, trigger
from vendors.people import feed
from vendors.randomuser_server import RandomUserServer

pytestmark = pytest.mark.system

PEOPLE, BATCH = 2_000, 50


@pytest.fixture
def vendor() -> Iterator[RandomUserServer]:
    with RandomUserServer() as server:
        yield server


def processed(scene: Scene) -> int:
    return int(scene.sql("SELECT coalesce(sum(records_processed), 0)::int AS n FROM sync_jobs")[0]["n"])


@pytest.mark.parametrize("kills", [2, pytest.param(15, marks=pytest.mark.chaos)])
def test_killing_the_worker_anywhere_changes_nothing(
    make_scene: SceneFactory, vendor: RandomUserServer, kills: int
) -> None:
    chance = random.Random(int(os.environ.get("CONTACTSHIP_SEED", "7")))
    env = SHORT_LEASE | {"TASK_LEASE": "1.5", "TASK_MAX_ATTEMPTS": "50"}
    scene = make_scene("api", "scheduler", "sync_worker", env=env | sources(crm=feed(vendor.url, "cursor", PEOPLE)))
    job_id = trigger(scene, "crm", BATCH)
    for number in range(kills):
        # Somewhere in the next stretch: in the fetch, between it and the commit, in the middle of applying.
        mark = PEOPLE * number // kills + chance.randrange(PEOPLE // kills // 2)
        scene.until(lambda mark=mark: processed(scene) >= mark, "progress", seconds=60)  # type: ignore[misc]
        scene.stack.kill9("sync_worker")
        assert processed(scene) < PEOPLE, "killed too late to matter"
        scene.stack.restart("sync_worker")
    job = ended_job(scene, job_id)
    assert (job["status"], counters(job), job["errors"]) == ("completed", (PEOPLE, PEOPLE, 0, 0), [])
    assert_each_person_once(scene, PEOPLE)
    assert scene.count("sync_job_leads") == PEOPLE
    assert scene.count("sync_pages") == PEOPLE // BATCH
    scene.until_quiet()
    scene.assert_nothing_was_lost()


def test_a_lost_worker_does_not_bring_other_people(make_scene: SceneFactory, vendor: RandomUserServer) -> None:
    """randomuser gives others at every call: what was fetched before the kill is what must arrive."""
    env = SHORT_LEASE | {"RANDOMUSER_URL": f"{vendor.url}/api/", "TASK_LEASE": "1.5"}
    scene = make_scene("api", "scheduler", "sync_worker", env=env)
    # Applying waits for this lock, so the worker is killed in the middle of it.
    with holding(scene, "leads"):
        job_id = trigger(scene, "randomuser", 500)
        scene.until(
            lambda: scene.count("pg_locks WHERE NOT granted AND mode = 'RowExclusiveLock'"), "the worker to apply"
        )
        scene.stack.kill9("sync_worker")
    scene.stack.restart("sync_worker")
    job = ended_job(scene, job_id)
    assert (job["status"], counters(job)) == ("completed", (500, 500, 0, 0))
    assert vendor.calls["/api/"] == 1
    assert_each_person_once(scene, 500)
