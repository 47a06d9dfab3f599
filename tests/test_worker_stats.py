"""Which workers live, as real processes tell it."""

from typing import Any

import httpx
from system_testkit import Scene
from system_testkit.scene import SceneFactory
from vendors.openai_server import OpenAIServer

WORKERS = ("ai_worker", "sync_worker", "delivery_worker")


def alive(scene: Scene) -> dict[str, dict[str, Any]]:
    return {worker["kind"]: worker for worker in scene.call("GET", "/workers/stats", 200)["workers"]}


def health(scene: Scene) -> int:
    return httpx.get(f"{scene.stack.api_url}/api/v1/workers/health").status_code


def test_workers_come_and_go_in_the_stats_and_in_health(make_scene: SceneFactory, openai: OpenAIServer) -> None:
    scene = make_scene("api", *WORKERS)
    openai.always("ok", latency=1.5)
    scene.until(lambda: len(alive(scene)) == 3, "a heartbeat of every worker")
    assert {kind: worker["queue"] for kind, worker in alive(scene).items()} == {
        "ai_worker": "ai", "sync_worker": "sync", "delivery_worker": "delivery",
    }  # fmt: skip
    assert health(scene) == 200

    tasks = [scene.summarize(lead_id) for lead_id in scene.insert_leads(5).values()]
    scene.until(lambda: alive(scene)["ai_worker"]["running"] == 5, "a heartbeat that tells of five running tasks")
    [ai, *_] = scene.call("GET", "/workers/stats", 200)["queues"]
    assert (ai["queue"], ai["running"], ai["length"]) == ("ai", 5, 0)
    for task_id in tasks:
        scene.ended(task_id)
    [ai, *_] = scene.call("GET", "/workers/stats", 200)["queues"]
    assert ai["throughputLastHour"] == 5
    assert 1_500 <= ai["averageProcessingMs"] <= ai["p95ProcessingMs"] < 20_000

    # Stopped: gone at once.
    assert scene.stack.sigterm("sync_worker") == 0
    assert set(alive(scene)) == {"ai_worker", "delivery_worker"}
    assert health(scene) == 503

    # Killed: its last words stay, and are believed for half a minute, here let pass by moving them back.
    scene.stack.kill9("ai_worker")
    scene.sql("UPDATE worker_heartbeats SET seen_at = seen_at - interval '31 s' WHERE queue = 'ai'")
    assert set(alive(scene)) == {"delivery_worker"}
    # The one that lives says so again after the same treatment.
    scene.sql("UPDATE worker_heartbeats SET seen_at = seen_at - interval '31 s'")
    scene.until(lambda: set(alive(scene)) == {"delivery_worker"}, "the living worker's next heartbeat")

    for name in ("ai_worker", "sync_worker"):
        scene.stack.start(name)
    scene.until(lambda: health(scene) == 200, "health with every queue served again")
