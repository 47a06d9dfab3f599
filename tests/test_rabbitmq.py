"""RabbitMQ as the broker: summaries run, and a broker that forgets, hangs or dies costs seconds and nothing else.

Skipped where RabbitMQ is not installed (Debian: `apt-get install rabbitmq-server`).
"""

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from system_testkit import Scene, SceneFactory
from system_testkit.rabbitmq import RabbitServer, program, running
from vendors.openai_server import OpenAIServer

from contactship_devstack.guard import Guard

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(program() is None, reason="RabbitMQ is not installed: apt-get install rabbitmq-server"),
]


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory: pytest.TempPathFactory, process_guard: Guard) -> Iterator[RabbitServer]:
    # Some Erlang programs put sockets into it: a short path.
    folder: Path = tmp_path_factory.mktemp("rmq")
    with running(folder, process_guard) as server:
        yield server


@pytest.fixture
def scene(make_scene: SceneFactory, rabbit: RabbitServer) -> Scene:
    scene = make_scene(
        "api", "scheduler", "ai_worker", "sync_worker", "delivery_worker", env={"BROKER_URL": rabbit.url}
    )
    scene.until(lambda: scene.count("worker_heartbeats") >= 3, "heartbeats, on which the window depends")
    return scene


def _assert_all_done(scene: Scene, leads: list[str]) -> None:
    scene.until_quiet(120)
    scene.assert_nothing_was_lost()
    scene.assert_summarised_once(leads)


def test_summaries_run_and_the_service_is_healthy(scene: Scene, rabbit: RabbitServer, openai: OpenAIServer) -> None:
    lead_id, _ = scene.make_lead()
    assert scene.ended(scene.summarize(lead_id))["status"] == "completed"
    leads = list(scene.insert_leads(100).values())
    for lead in leads:
        scene.summarize(lead)
    _assert_all_done(scene, [lead_id, *leads])
    assert openai.total == 101
    assert rabbit.waiting("ai") == 0
    assert scene.call("GET", "/workers/health", 200)["status"] == "ok"
    health = scene.http.get(f"{scene.stack.api_url}/health").json()
    assert health["status"] == "ok"
    assert health["info"]["broker"]["status"] == "up"


def test_a_backlog_keeps_no_more_than_a_window_in_the_broker(
    make_scene: SceneFactory, rabbit: RabbitServer, openai: OpenAIServer
) -> None:
    settings = {"BROKER_URL": rabbit.url, "WORKER_CONCURRENCY": "16"}
    scene = make_scene("scheduler", "ai_worker", env=settings)
    scene.until(lambda: scene.count("worker_heartbeats"), "a heartbeat, on which the window depends")
    leads = list(scene.insert_leads(250).values())
    scene.stack.freeze("ai_worker")
    scene.insert_tasks()
    scene.until(lambda: rabbit.waiting("ai") > 0, "rings")
    seen = max(rabbit.waiting("ai") for _ in range(40))
    assert seen <= 4 * 16
    scene.stack.thaw("ai_worker")
    _assert_all_done(scene, leads)
    assert openai.total == 250


def test_a_purged_and_a_deleted_queue_lose_nothing(scene: Scene, rabbit: RabbitServer, openai: OpenAIServer) -> None:
    leads = list(scene.insert_leads(80).values())
    openai.latency = 0.3
    for lead in leads[:50]:
        scene.summarize(lead)
    rabbit.purge("ai")
    rabbit.delete("ai")
    for lead in leads[50:]:
        scene.summarize(lead)
    _assert_all_done(scene, leads)
    assert openai.total == 80


def test_a_killed_broker_holds_nobody_up_and_loses_nothing(
    scene: Scene, rabbit: RabbitServer, openai: OpenAIServer
) -> None:
    leads = list(scene.insert_leads(60).values())
    openai.latency = 0.2
    for lead in leads[:20]:
        scene.summarize(lead)
    rabbit.kill()
    try:
        for lead in leads[20:]:
            scene.summarize(lead)
        assert scene.http.get(f"{scene.stack.api_url}/health/readiness").status_code == 200
        health = scene.http.get(f"{scene.stack.api_url}/health").json()
        assert health["status"] == "degraded"
        assert health["info"]["broker"]["status"] == "down"
        scene.call("GET", "/workers/health", 503)
    finally:
        rabbit.start()
    _assert_all_done(scene, leads)
    assert scene.http.get(f"{scene.stack.api_url}/health").json()["info"]["broker"]["status"] == "up"


def test_a_broker_that_hangs_holds_up_neither_requests_nor_the_end_of_a_process(
    scene: Scene, rabbit: RabbitServer, openai: OpenAIServer
) -> None:
    leads = list(scene.insert_leads(20).values())
    server = psutil.Process(rabbit.pid)
    frozen = [*server.children(recursive=True), server]
    for process in frozen:
        process.send_signal(signal.SIGSTOP)
    try:
        for lead in leads:
            scene.summarize(lead)
        assert scene.stack.sigterm("scheduler", 30) == 0
    finally:
        for process in frozen:
            process.send_signal(signal.SIGCONT)
    scene.stack.restart("scheduler")
    _assert_all_done(scene, leads)


def test_a_stopped_worker_hands_its_messages_to_the_next(
    scene: Scene, rabbit: RabbitServer, openai: OpenAIServer
) -> None:
    leads = list(scene.insert_leads(60).values())
    openai.latency = 0.2
    for number, lead in enumerate(leads):
        scene.summarize(lead)
        if number == 30:
            assert scene.stack.sigterm("ai_worker") == 0
            scene.stack.restart("ai_worker")
    _assert_all_done(scene, leads)
    assert openai.total == 60
