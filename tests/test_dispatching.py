"""A scheduler that comes and goes, a backlog that is long, and an idle system that starts work at once."""

import re
import statistics
import time

import httpx
import pytest
from system_testkit import Scene, SceneFactory
from vendors.openai_server import OpenAIServer

pytestmark = pytest.mark.system

_THREADS = 16
_WINDOW = 4 * _THREADS

# Forced, so that each is a slow call; without a slot, so that a few leads can have them all.
_BACKLOG = """
INSERT INTO tasks (id, kind, queue, priority, payload, subject_id, holds, rerun, status, run_no, failures, max_attempts)
SELECT gen_random_uuid(), 'lead.summary', 'ai', 100, jsonb_build_object('lead_id', leads.id, 'force', true), leads.id,
       'ended', false, 'queued', 0, 0, 3
  FROM leads, generate_series(1, %(each)s)
"""


def _messages(scene: Scene) -> int:
    assert scene.stack.valkey
    with scene.stack.valkey.client() as client:
        return int(client.llen("dramatiq:ai"))


def _rung(scene: Scene) -> float:
    """How many messages the scheduler has sent, by its own count."""
    text = httpx.get(f"{scene.stack.process('scheduler').url}/metrics", timeout=10).text
    [value] = re.findall(r'^contactship_dispatcher_tasks_total\{action="rung"\} (\S+)$', text, re.M)
    return float(value)


def test_while_no_scheduler_lives_what_is_asked_for_singly_is_done(make_scene: SceneFactory) -> None:
    scene = make_scene("api", "scheduler", "ai_worker")
    scene.stack.kill9("scheduler")
    lead_id, _ = scene.make_lead()
    assert scene.ended(scene.summarize(lead_id))["status"] == "completed"
    many = list(scene.insert_leads(50).values())
    scene.call("POST", "/leads/summarize", 202, json={"leadIds": many})
    assert scene.open_tasks() == 50  # more than are rung at once wait for a scheduler
    scene.stack.restart("scheduler")
    scene.until_quiet()
    scene.assert_nothing_was_lost()
    scene.assert_summarised_once([lead_id, *many])


def test_fifty_thousand_waiting_tasks_make_no_storm_and_let_urgent_work_through(
    make_scene: SceneFactory, openai: OpenAIServer
) -> None:
    openai.latency = 0.25
    scene = make_scene("api", "ai_worker", env={"WORKER_CONCURRENCY": str(_THREADS), "TASK_RING_AGAIN": "1"})
    scene.until(lambda: scene.count("worker_heartbeats"), "a heartbeat, on which the window depends")
    scene.insert_leads(200)
    scene.sql(_BACKLOG, each=250)
    scene.stack.start("scheduler")
    scene.until(lambda: openai.total > _THREADS, "the first calls")
    most, until = 0, time.monotonic() + 4
    while time.monotonic() < until:
        most = max(most, _messages(scene))
        time.sleep(0.02)
    started = scene.count("tasks WHERE run_no > 0")
    rung = _rung(scene)
    print(f"{most} messages at most, {rung:.0f} sent for {started} started tasks, {openai.total} calls")
    assert started > _THREADS
    assert most <= _WINDOW + _THREADS
    # Each second what still waits in the window may be rung again, and no more than that.
    assert rung <= started + 8 * _WINDOW
    asked = time.monotonic()
    accepted = scene.call("POST", "/leads/summarize", 202, json={"filter": {"status": "lost"}})
    scene.ended(accepted["taskId"])
    print(f"urgent work was done {time.monotonic() - asked:.2f} s after it was asked for")
    assert time.monotonic() - asked < 8
    assert scene.count("tasks WHERE run_no > 1") == 0


def test_an_idle_system_starts_a_task_at_once(make_scene: SceneFactory) -> None:
    scene = make_scene("api", "scheduler", "ai_worker")
    delays = []
    for lead_id in scene.insert_leads(20).values():
        task_id = scene.summarize(lead_id)
        scene.ended(task_id)
        task = scene.task(task_id)
        delays.append((task["claimed_at"] - task["created_at"]).total_seconds() * 1000)
    print(f"idle start: median {statistics.median(delays):.0f} ms, worst {max(delays):.0f} ms")
    assert statistics.median(delays) < 150
