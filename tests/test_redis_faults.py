"""Redis emptied, gone, or hanging: everything is accepted at once and done a little later."""

import time

import pytest
from system_testkit import Load, Scene, SceneFactory
from vendors.openai_server import OpenAIServer

from contactship_devstack.valkey import ValkeyServer

pytestmark = pytest.mark.system


def _valkey(scene: Scene) -> ValkeyServer:
    assert scene.stack.valkey is not None
    return scene.stack.valkey


def _messages(scene: Scene) -> int:
    with _valkey(scene).client() as client:
        return int(client.llen("dramatiq:ai"))


def _take_away(valkey: ValkeyServer, how: str) -> None:
    if how == "stopped":
        valkey.kill()
    else:
        valkey.freeze()


def _give_back(valkey: ValkeyServer) -> None:
    valkey.thaw()
    valkey.start()


def test_five_hundred_waiting_tasks_survive_a_flush(scene: Scene, openai: OpenAIServer) -> None:
    scene.until(lambda: scene.count("worker_heartbeats"), "a heartbeat, on which the window depends")
    leads = list(scene.insert_leads(500).values())
    scene.stack.freeze("ai_worker")
    accepted = scene.call("POST", "/leads/summarize", 202, json={"leadIds": leads})
    assert accepted["queued"] == 500
    scene.until(lambda: _messages(scene) >= 500, "500 messages")
    _valkey(scene).flush()
    assert _messages(scene) < 500
    flushed = time.monotonic()
    scene.stack.thaw("ai_worker")
    scene.until_quiet()
    print(f"500 tasks done {time.monotonic() - flushed:.1f} s after the flush")
    scene.assert_nothing_was_lost()
    scene.assert_summarised_once(leads)
    assert openai.total == 500


@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_without_redis_summaries_are_accepted_within_a_second_and_done_afterwards(
    scene: Scene, openai: OpenAIServer, how: str
) -> None:
    leads = list(scene.insert_leads(30).values())
    _take_away(_valkey(scene), how)
    slowest = 0.0
    for lead_id in leads:
        started = time.monotonic()
        scene.summarize(lead_id)
        slowest = max(slowest, time.monotonic() - started)
        assert scene.call("GET", f"/leads/{lead_id}", 200)["summaryStatus"] == "processing"
    assert slowest < 1.0
    assert openai.total == 0
    _give_back(_valkey(scene))
    back = time.monotonic()
    scene.until_quiet()
    print(f"Redis {how}: slowest answer {slowest:.2f} s; all done {time.monotonic() - back:.1f} s after it was back")
    scene.assert_nothing_was_lost()
    scene.assert_summarised_once(leads)
    assert openai.total == len(leads)


def test_a_wait_without_redis_still_ends_soon_after_the_task(scene: Scene) -> None:
    lead_id, _ = scene.make_lead()
    scene.stack.freeze("ai_worker")
    task_id = scene.summarize(lead_id)
    _valkey(scene).kill()
    scene.sql("UPDATE tasks SET status = 'cancelled', slot = NULL, finished_at = now() WHERE id = %(id)s", id=task_id)
    started = time.monotonic()
    assert scene.ended(task_id)["status"] == "cancelled"
    assert time.monotonic() - started < 3
    scene.stack.thaw("ai_worker")


@pytest.mark.chaos
@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_thirty_seconds_without_redis_under_load(make_scene: SceneFactory, openai: OpenAIServer, how: str) -> None:
    scene = make_scene("api", "scheduler", "ai_worker")
    leads = list(scene.insert_leads(10_000).values())
    with Load(scene, leads) as load:
        load.until_accepted(50)
        _take_away(_valkey(scene), how)
        gone = time.monotonic()
        scene.until(lambda: time.monotonic() - gone > 30, "half a minute", seconds=60)
        _give_back(_valkey(scene))
        load.until_accepted(1)
    back = time.monotonic()
    scene.until_quiet(90)
    print(f"{how}: {load.statuses}, slowest {load.slowest_s:.2f} s, quiet after {time.monotonic() - back:.1f} s")
    assert set(load.statuses) <= {200, 202}
    scene.assert_nothing_was_lost()
    scene.assert_summarised_once(list(load.accepted))
