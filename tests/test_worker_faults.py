"""Workers that die, freeze, are stopped, or hear the same bell again and again."""

import time
from collections.abc import Sequence
from uuid import UUID

import pytest
from system_testkit import SHORT_LEASE, Scene, SceneFactory
from vendors.openai_server import OpenAIServer

from contactship_common.tasks.bell import message_for
from contactship_common.tasks.broker import make_broker

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


@pytest.mark.chaos
def test_at_full_length_a_killed_worker_costs_no_more_than_its_lease_and_five_seconds(
    make_scene: SceneFactory, openai: OpenAIServer
) -> None:
    full = {"TASK_LEASE": "30", "TASK_RING_AGAIN": "10", "HEARTBEAT_INTERVAL": "5", "DISPATCHER_TICK": "0.25"}
    scene = make_scene("api", "scheduler", ai_worker=2, env=full)
    leads = list(scene.insert_leads(200).values())
    openai.latency = 2.0
    for lead_id in leads:
        scene.summarize(lead_id)
    scene.stack.kill9("ai_worker")
    killed = time.monotonic()
    scene.until_quiet(60)
    print(f"all done {time.monotonic() - killed:.1f} s after the kill, {openai.total - len(leads)} calls made twice")
    assert time.monotonic() - killed < 35
    scene.assert_nothing_was_lost()
    scene.assert_summarised_once(leads)


def test_a_killed_worker_that_starts_again_finishes_its_own_work(
    make_scene: SceneFactory, openai: OpenAIServer
) -> None:
    scene = make_scene("api", "scheduler", "ai_worker", env=SHORT_LEASE)
    leads, _ = _summaries_under_way(scene, openai, 5)
    scene.stack.kill9("ai_worker")
    killed = time.monotonic()
    scene.stack.restart("ai_worker")
    _assert_done(scene, leads)
    assert time.monotonic() - killed < LEASE_SECONDS + 5


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


def test_the_same_message_five_times_is_one_run(make_scene: SceneFactory, openai: OpenAIServer) -> None:
    scene = make_scene("api", "scheduler", ai_worker=2)
    openai.latency = 0.3
    lead_id, name = scene.make_lead()
    task_id = scene.summarize(lead_id)
    broker = make_broker(scene.stack.redis_url)
    for _ in range(5):
        broker.enqueue(message_for("ai", UUID(task_id)))
    scene.ended(task_id)
    for _ in range(5):
        broker.enqueue(message_for("ai", UUID(task_id)))
    other, _ = scene.make_lead()
    scene.ended(scene.summarize(other))
    broker.close()
    _assert_done(scene, [lead_id, other])
    assert scene.task(task_id)["run_no"] == 1
    assert openai.calls_about(name) == 1


def test_a_rolling_restart_under_load_loses_nothing(make_scene: SceneFactory, openai: OpenAIServer) -> None:
    scene = make_scene("api", "scheduler", ai_worker=2)
    openai.latency = 0.2
    leads = list(scene.insert_leads(120).values())
    for number, lead_id in enumerate(leads):
        scene.summarize(lead_id)
        if number in (40, 80):
            name = "ai_worker" if number == 40 else "ai_worker-2"
            assert scene.stack.sigterm(name) == 0
            scene.stack.restart(name)
    _assert_done(scene, leads)
    assert openai.total == len(leads)
