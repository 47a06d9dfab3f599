"""Repeat clicks, fresh summaries, and leads that change or go while their summary is being written."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from system_testkit import Scene
from vendors.openai_server import OpenAIServer

pytestmark = pytest.mark.system


def test_a_hundred_clicks_on_one_lead_are_one_call(scene: Scene, openai: OpenAIServer) -> None:
    openai.latency = 1.5
    lead_id, name = scene.make_lead()

    def click(_: int) -> str | None:
        answer = scene.http.post(f"{scene.stack.api_url}/api/v1/leads/{lead_id}/summarize")
        # On a slow machine the last clicks may come when the summary is there.
        assert answer.status_code in {200, 202}, answer.text
        return answer.json().get("taskId")

    with ThreadPoolExecutor(20) as clicks:
        tasks = set(clicks.map(click, range(100))) - {None}
    assert len(tasks) == 1
    scene.ended(str(tasks.pop()))
    scene.assert_summarised_once([lead_id])
    assert openai.calls_about(name) == 1


def test_a_fresh_summary_is_given_at_once(scene: Scene, openai: OpenAIServer) -> None:
    lead_id, name = scene.make_lead()
    scene.ended(scene.summarize(lead_id))
    again = scene.call("POST", f"/leads/{lead_id}/summarize", 200)
    assert again["summary"] == scene.lead(lead_id)["summary"]
    assert openai.calls_about(name) == 1


def test_force_pays_again(scene: Scene, openai: OpenAIServer) -> None:
    lead_id, name = scene.make_lead()
    first = scene.summarize(lead_id)
    scene.ended(first)
    second = scene.summarize(lead_id, force=True)
    scene.ended(second)
    assert first != second
    assert openai.calls_about(name) == 2


def test_a_change_that_was_taken_back_is_not_paid_for(scene: Scene, openai: OpenAIServer) -> None:
    lead_id, name = scene.make_lead()
    scene.ended(scene.summarize(lead_id))
    for status in ("contacted", "new"):
        scene.call("PATCH", f"/leads/{lead_id}", 200, json={"status": status})
    task = scene.ended(scene.summarize(lead_id))
    assert task["result"] == {"cached": True}
    assert openai.calls_about(name) == 1
    scene.call("POST", f"/leads/{lead_id}/summarize", 200)


def _until_asked(scene: Scene, openai: OpenAIServer, name: str, times: int = 1) -> None:
    scene.until(lambda: openai.calls_about(name) == times, f"call {times} about {name}")


def test_a_lead_deleted_while_its_summary_is_written_is_gone_for_good(scene: Scene, openai: OpenAIServer) -> None:
    openai.latency = 1.5
    lead_id, name = scene.make_lead()
    task_id = scene.summarize(lead_id)
    _until_asked(scene, openai, name)
    scene.call("DELETE", f"/leads/{lead_id}", 204)
    scene.until(lambda: scene.task(task_id)["finished_at"], "the task to end")
    scene.call("GET", f"/leads/{lead_id}", 404)
    assert scene.count("leads WHERE id = %(id)s", id=lead_id) == 0
    assert scene.count("lead_events WHERE lead_id = %(id)s", id=lead_id) == 0
    assert scene.outcomes(task_id) == ["openai:success"]  # it was paid for


def test_a_lead_deleted_while_its_summary_waits_cancels_it_unpaid(scene: Scene, openai: OpenAIServer) -> None:
    scene.stack.freeze("ai_worker")
    lead_id, name = scene.make_lead()
    task_id = scene.summarize(lead_id)
    scene.call("DELETE", f"/leads/{lead_id}", 204)
    assert scene.task(task_id)["status"] == "cancelled"
    scene.stack.thaw("ai_worker")
    other, _ = scene.make_lead()
    assert scene.ended(scene.summarize(other))["status"] == "completed"
    assert openai.calls_about(name) == 0


def test_a_lead_changed_meanwhile_is_stale_and_the_next_click_makes_a_new_task(
    scene: Scene, openai: OpenAIServer
) -> None:
    openai.latency = 1.5
    lead_id, name = scene.make_lead()
    first = scene.summarize(lead_id)
    _until_asked(scene, openai, name)
    scene.call("PATCH", f"/leads/{lead_id}", 200, json={"status": "qualified"})
    assert scene.ended(first)["status"] == "completed"
    second = scene.summarize(lead_id)
    assert second != first
    assert scene.ended(second)["result"]["stored"]
    assert "qualified" in openai.calls[-1].prompt
    scene.call("POST", f"/leads/{lead_id}/summarize", 200)


def test_a_click_after_a_change_during_the_run_runs_the_same_task_once_more(scene: Scene, openai: OpenAIServer) -> None:
    openai.latency = 1.5
    lead_id, name = scene.make_lead()
    first = scene.summarize(lead_id)
    _until_asked(scene, openai, name)
    scene.call("PATCH", f"/leads/{lead_id}", 200, json={"status": "qualified"})
    assert scene.summarize(lead_id) == first
    assert scene.summarize(lead_id) == first
    assert scene.ended(first)["status"] == "completed"
    assert openai.calls_about(name) == 2
    assert "qualified" in openai.calls[-1].prompt
    scene.call("POST", f"/leads/{lead_id}/summarize", 200)


def test_force_while_it_runs_runs_it_once_more(scene: Scene, openai: OpenAIServer) -> None:
    openai.latency = 1.5
    lead_id, name = scene.make_lead()
    first = scene.summarize(lead_id)
    _until_asked(scene, openai, name)
    assert {scene.summarize(lead_id, force=True) for _ in range(5)} == {first}
    assert scene.ended(first)["status"] == "completed"
    assert openai.calls_about(name) == 2
