"""Redis gone or hanging: everything is accepted at once and done a little later."""

import time

import pytest
from system_testkit import Scene
from vendors.openai_server import OpenAIServer

from contactship_devstack.valkey import ValkeyServer

pytestmark = pytest.mark.system


def _valkey(scene: Scene) -> ValkeyServer:
    assert scene.stack.valkey is not None
    return scene.stack.valkey


def _take_away(valkey: ValkeyServer, how: str) -> None:
    if how == "stopped":
        valkey.kill()
    else:
        valkey.freeze()


def _give_back(valkey: ValkeyServer) -> None:
    valkey.thaw()
    valkey.start()


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
