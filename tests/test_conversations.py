"""Conversations and their analysis with real processes: bursts, slow models, killed gateways."""

import itertools
import threading
import time
from typing import Any

import httpx
import psycopg
import pytest
from chaos_testkit.invariants import DISAGREEMENTS
from system_testkit import Scene, SceneFactory
from vendors.openai_server import OpenAIServer
from vendors.server import Say

from contactship_common.db import plain_url

pytestmark = pytest.mark.system

DEBOUNCE_MS, MAX_WAIT_MS = 400, 1_500
ENV = {
    "AI_DEBOUNCE_MS": str(DEBOUNCE_MS),
    "AI_DEBOUNCE_MAX_WAIT_MS": str(MAX_WAIT_MS),
    "RATE_LIMIT_MAX": "0",
    "AI_REQUESTS_PER_MINUTE": "100000",
}


def start(scene: Scene) -> tuple[str, str]:
    """A new conversation's id, and the name under which vendors count its lead."""
    lead_id, name = scene.make_lead()
    return str(scene.call("POST", "/conversations", 201, json={"leadId": lead_id, "channel": "web"})["id"]), name


def hear(scene: Scene, conversation: str, text: str = "Quiero una demo") -> None:
    body = {"contentText": text, "senderType": "LEAD"}
    scene.call("POST", f"/conversations/{conversation}/messages", 201, json=body)


def up_to(scene: Scene, conversation: str) -> int:
    [row] = scene.sql("SELECT analysed_up_to FROM conversations WHERE id = %(id)s", id=conversation)
    return int(row["analysed_up_to"])


def until_analysed(scene: Scene, conversation: str, seq: int) -> dict[str, Any]:
    scene.until(lambda: up_to(scene, conversation) >= seq, f"the analysis up to message {seq}")
    found: dict[str, Any] = scene.call("GET", f"/conversations/{conversation}", 200)
    return found


def test_a_burst_of_five_messages_is_one_analysis(scene: Scene, openai: OpenAIServer) -> None:
    conversation, name = start(scene)
    for number in range(5):
        hear(scene, conversation, f"m{number}")
    shown = until_analysed(scene, conversation, 5)
    scene.until_quiet()
    assert openai.calls_about(name) == 1
    assert shown["aiPriority"] in ("HIGH", "MEDIUM", "LOW")
    assert 1 <= len(shown["aiTags"]) <= 5
    assert shown["aiSummary"]


def test_messages_during_a_slow_analysis_cause_exactly_one_more(scene: Scene, openai: OpenAIServer) -> None:
    conversation, name = start(scene)
    openai.script(Say("ok", match=name, latency=1.5))
    hear(scene, conversation)
    scene.until(lambda: openai.calls_about(name) == 1, "the first analysis to ask")
    hear(scene, conversation)
    hear(scene, conversation)
    until_analysed(scene, conversation, 3)
    scene.until_quiet()
    assert openai.calls_about(name) == 2


def test_an_older_slower_run_does_not_overwrite_the_newer(scene: Scene, openai: OpenAIServer) -> None:
    conversation, name = start(scene)
    said = '{"summary": "%s", "priority": "%s", "tags": ["demo"]}'
    openai.script(Say("text", match=name, text=said % ("Older.", "low"), latency=3.0))
    openai.script(Say("text", match=name, text=said % ("Newer.", "High")))
    hear(scene, conversation)
    scene.until(lambda: openai.calls_about(name) == 1, "the older run to ask")
    hear(scene, conversation)
    assert until_analysed(scene, conversation, 2)["aiSummary"] == "Newer."
    assert scene.open_tasks() == 1, "the older run still waits for its answer"
    scene.until_quiet()
    shown = scene.call("GET", f"/conversations/{conversation}", 200)
    assert (shown["aiSummary"], shown["aiPriority"]) == ("Newer.", "HIGH")


def test_constant_traffic_is_analysed_at_least_every_longest_wait(scene: Scene, openai: OpenAIServer) -> None:
    conversation, name = start(scene)
    seconds, started = 6.0, time.monotonic()
    while time.monotonic() - started < seconds:
        hear(scene, conversation)
    expected = int(seconds * 1_000 / MAX_WAIT_MS)
    # Never starved; and far fewer than messages. A run that is late by a moment loses one of the expected.
    assert expected - 1 <= openai.calls_about(name) <= expected + 1
    scene.until_quiet()
    [row] = scene.sql("SELECT last_seq FROM conversations WHERE id = %(id)s", id=conversation)
    assert up_to(scene, conversation) == row["last_seq"]


def test_a_failed_analysis_blocks_no_later_one_and_keeps_the_one_before(scene: Scene, openai: OpenAIServer) -> None:
    conversation, name = start(scene)
    hear(scene, conversation)
    before = until_analysed(scene, conversation, 1)
    wrong = '{"summary": "x", "priority": "urgent", "tags": ["demo"]}'
    openai.script(Say("text", match=name, text=wrong, times=20))
    hear(scene, conversation)
    failed = "tasks WHERE status = 'failed' AND subject_id = %(id)s"
    scene.until(lambda: scene.count(failed, id=conversation), "the failure")
    shown = scene.call("GET", f"/conversations/{conversation}", 200)
    assert [shown[f] for f in ("aiSummary", "aiPriority", "aiTags")] == [
        before[f] for f in ("aiSummary", "aiPriority", "aiTags")
    ]
    openai.reset()
    hear(scene, conversation)
    until_analysed(scene, conversation, 3)


def test_a_retried_analysis_does_not_hold_up_the_next_message(scene: Scene, openai: OpenAIServer) -> None:
    conversation, name = start(scene)
    openai.script(Say("rate_limited", match=name, retry_after="30"))
    hear(scene, conversation)
    waits = "tasks WHERE status = 'queued' AND started_at IS NOT NULL AND subject_id = %(id)s"
    scene.until(lambda: scene.count(waits, id=conversation), "the first run to be put off")
    hear(scene, conversation)
    until_analysed(scene, conversation, 2)
    # The one that was put off finds nothing left to do.
    scene.sql("UPDATE tasks SET run_at = now() WHERE subject_id = %(id)s AND status = 'queued'", id=conversation)
    scene.until_quiet()
    assert openai.calls_about(name) == 2


def test_what_was_analysed_yesterday_is_analysed_again_with_a_new_message(scene: Scene, openai: OpenAIServer) -> None:
    conversation, name = start(scene)
    hear(scene, conversation)
    until_analysed(scene, conversation, 1)
    scene.until_quiet()
    scene.sql(
        "UPDATE conversations SET ai_updated_at = ai_updated_at - interval '1 day',"
        " last_message_at = last_message_at - interval '1 day' WHERE id = %(id)s",
        id=conversation,
    )
    hear(scene, conversation)
    until_analysed(scene, conversation, 2)
    scene.until_quiet()
    assert openai.calls_about(name) == 2


def test_asking_for_an_analysis_does_not_wait_for_a_pause(scene: Scene, openai: OpenAIServer) -> None:
    scene.stack.restart("api", env={"AI_DEBOUNCE_MS": "60000", "AI_DEBOUNCE_MAX_WAIT_MS": "60000"})
    try:
        conversation, name = start(scene)
        hear(scene, conversation)
        [waiting] = scene.sql("SELECT id::text FROM tasks WHERE subject_id = %(id)s", id=conversation)
        task = scene.call("POST", f"/conversations/{conversation}/analyze", 202)["taskId"]
        assert task == waiting["id"]
        assert scene.ended(task)["status"] == "completed"
        assert up_to(scene, conversation) == 1
        again = scene.ended(scene.call("POST", f"/conversations/{conversation}/analyze", 202)["taskId"])
        assert (again["status"], again["result"]["stored"]) == ("completed", True)
        assert openai.calls_about(name) == 2
        # A message that follows has an analysis of its own.
        hear(scene, conversation)
        own = "tasks WHERE subject_id = %(id)s AND status = 'queued'"
        assert scene.count(own, id=conversation) == 1
        scene.ended(scene.call("POST", f"/conversations/{conversation}/analyze", 202)["taskId"])
        assert up_to(scene, conversation) == 2
        empty, _ = start(scene)
        nothing = scene.ended(scene.call("POST", f"/conversations/{empty}/analyze", 202)["taskId"])
        assert (nothing["status"], nothing["result"]["stored"]) == ("completed", False)
    finally:
        scene.stack.restart("api", env=ENV)


@pytest.mark.parametrize("many", [250, pytest.param(1_000, marks=pytest.mark.chaos)])
def test_many_conversations_at_once_are_each_analysed_once(scene: Scene, openai: OpenAIServer, many: int) -> None:
    leads = scene.insert_leads(many)
    names = list(leads)
    scene.sql(
        "INSERT INTO conversations (id, lead_id, channel, status, last_seq, last_message_at, last_message_sender_type,"
        " last_lead_seq, last_agent_seq, unread_count, ai_tags, analysed_up_to)"
        " SELECT gen_random_uuid(), id, 'web', 'OPEN', 0, NULL, NULL, 0, 0, 0, '{}', 0 FROM leads"
        " WHERE id = ANY(%(ids)s::uuid[])",
        ids=list(leads.values()),
    )
    rows = scene.sql(
        "SELECT id::text FROM conversations WHERE lead_id = ANY(%(ids)s::uuid[])", ids=list(leads.values())
    )
    work = iter([row["id"] for row in rows])
    lock = threading.Lock()

    def post() -> None:
        headers = {"x-api-key": scene.stack.api_key}
        with httpx.Client(headers=headers, timeout=30, base_url=f"{scene.stack.api_url}/api/v1") as client:
            while True:
                with lock:
                    conversation = next(work, None)
                if conversation is None:
                    return
                body = {"contentText": "Hola", "senderType": "LEAD"}
                answer = client.post(f"/conversations/{conversation}/messages", json=body)
                assert answer.status_code == 201, answer.text

    threads = [threading.Thread(target=post) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    scene.until_quiet(120)
    assert scene.count("conversations WHERE last_seq = 1 AND analysed_up_to = 1") >= many
    assert {openai.calls_about(name) for name in names} == {1}


def test_a_gateway_killed_while_it_stores_messages_leaves_no_contradiction(
    make_scene: SceneFactory, openai: OpenAIServer
) -> None:
    scene = make_scene("api", "scheduler", "ai_worker", env=ENV)
    conversations = [start(scene)[0] for _ in range(3)]
    promised: list[str] = []
    turns, stop, lock = itertools.count(), threading.Event(), threading.Lock()

    def post() -> None:
        headers = {"x-api-key": scene.stack.api_key}
        with httpx.Client(headers=headers, timeout=30, base_url=f"{scene.stack.api_url}/api/v1") as client:
            while not stop.is_set():
                with lock:
                    turn = next(turns)
                body = {"contentText": str(turn), "senderType": "LEAD" if turn % 2 else "AGENT"}
                try:
                    answer = client.post(f"/conversations/{conversations[turn % 3]}/messages", json=body)
                except httpx.TransportError:
                    time.sleep(0.05)
                    continue
                assert answer.status_code in (201, 503), answer.text
                if answer.status_code == 201:
                    with lock:
                        promised.append(answer.json()["id"])

    threads = [threading.Thread(target=post) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        enough = len(promised) + 40
        scene.until(lambda enough=enough: len(promised) >= enough, "more messages")  # type: ignore[misc]
        scene.stack.kill9("api")
        scene.stack.restart("api")
    enough = len(promised) + 40
    scene.until(lambda: len(promised) >= enough, "messages after the last restart")
    stop.set()
    for thread in threads:
        thread.join()
    assert scene.sql(DISAGREEMENTS) == []
    with psycopg.connect(plain_url(scene.stack.database_url)) as connection:
        stored = {str(row[0]) for row in connection.execute("SELECT id FROM messages")}
    assert set(promised) <= stored
    scene.until_quiet()
    # Whatever was stored was also analysed: the task stood in the same transaction.
    assert scene.sql("SELECT 1 FROM conversations WHERE analysed_up_to < last_seq") == []
