"""Workers that die, freeze, or are stopped."""

import time
from collections.abc import Sequence

import pytest
from system_testkit import SHORT_LEASE, Scene, SceneFactory
from vendors.openai_server import OpenAIServer

pytestmark = pytest.mark.system

LEASE_SECONDS = float(SHORT_LEASE["TASK_LEASE"])


def _summaries_under_way(scene: Scene, openai: OpenAIServer, count: int) -> tuple[list[str], list[str]]:
    """Ask for so many summaries and wait until the vendor holds all of these calls; returns lead and task ids."""
    openai.latency = 60.0
    leads = list(scene.insert_leads(count).values())
    tasks = [scene.summarize(lead_id) for lead_id in leads]
    scene.until(lambda: openai.counts()["in_flight"] == count, f"{count} calls in flight")
    openai.latency = 0.0
    return leads, tasks


def _assert_done(scene: Scene, leads: Sequence[str]) -> None:
    scene.until_quiet()
    scene.assert_nothing_was_lost()
    scene.assert_summarised_once(leads)


def test_another_worker_finishes_what_a_killed_one_began(make_scene: SceneFactory, openai: OpenAIServer) -> None:
    scene = make_scene("api", "scheduler", "ai_worker", env=SHORT_LEASE)
    leads, tasks = _summaries_under_way(scene, openai, 20)
    scene.stack.start("ai_worker")
    scene.stack.kill9("ai_worker")
    killed = time.monotonic()
    _assert_done(scene, leads)
    assert time.monotonic() - killed < LEASE_SECONDS + 5
    for task_id in tasks:
        task = scene.task(task_id)
        assert (task["status"], task["run_no"], task["failures"]) == ("succeeded", 2, 1)
    assert openai.total == 2 * len(leads)


def test_a_worker_that_froze_past_its_lease_stores_nothing_when_it_thaws(
    make_scene: SceneFactory, openai: OpenAIServer
) -> None:
    scene = make_scene("api", "scheduler", "ai_worker", env=SHORT_LEASE)
    openai.latency = 1.0
    lead_id, name = scene.make_lead()
    task_id = scene.summarize(lead_id)
    scene.until(lambda: openai.calls_about(name) == 1, "the first call")
    scene.stack.freeze("ai_worker")
    [second] = scene.stack.start("ai_worker")
    _assert_done(scene, [lead_id])
    before = scene.lead(lead_id)
    assert scene.task(task_id)["run_no"] == 2
    scene.stack.thaw("ai_worker")
    # The first worker got its answer while it was frozen; it notices that it lost the task, and keeps the bill.
    scene.until(lambda: '"outcome": "overtaken"' in scene.stack.logs("ai_worker"), "the first worker to give up")
    scene.until(lambda: len(scene.outcomes(task_id)) == 2, "both calls to be kept")
    assert scene.lead(lead_id) == before
    _assert_done(scene, [lead_id])
    assert second.running


def test_a_stopped_worker_finishes_its_work_and_goes(make_scene: SceneFactory, openai: OpenAIServer) -> None:
    scene = make_scene("api", "scheduler", "ai_worker")
    openai.latency = 2.0
    leads = list(scene.insert_leads(50).values())
    tasks = [scene.summarize(lead_id) for lead_id in leads]
    scene.until(lambda: openai.counts()["in_flight"] == 50, "50 calls in flight")
    waiting = [scene.summarize(lead_id) for lead_id in scene.insert_leads(3).values()]
    started = time.monotonic()
    assert scene.stack.sigterm("ai_worker") == 0
    assert time.monotonic() - started < 8
    assert {scene.task(task_id)["status"] for task_id in tasks} == {"succeeded"}
    assert {scene.task(task_id)["run_no"] for task_id in tasks} == {1}
    assert scene.count("worker_heartbeats WHERE queue = 'ai'") == 0
    openai.latency = 0.0
    scene.stack.start("ai_worker")
    for task_id in waiting:
        scene.ended(task_id)
    _assert_done(scene, leads)


def test_a_stopped_worker_hands_back_what_takes_too_long(make_scene: SceneFactory, openai: OpenAIServer) -> None:
    scene = make_scene("api", "scheduler", "ai_worker", env={"SHUTDOWN_GRACE": "0.5"})
    leads, tasks = _summaries_under_way(scene, openai, 50)
    started = time.monotonic()
    assert scene.stack.sigterm("ai_worker") == 0
    assert time.monotonic() - started < 6
    for task_id in tasks:
        task = scene.task(task_id)
        assert (task["status"], task["failures"], task["error"]["code"]) == ("queued", 0, "handed_back")
        assert scene.outcomes(task_id) == ["openai:error"]  # cancelled, and perhaps charged for
    scene.stack.start("ai_worker")
    _assert_done(scene, leads)
