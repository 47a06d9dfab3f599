"""What clients see, and what is kept, when the model does not answer as it should."""

import itertools

import pytest
from system_testkit import Scene
from vendors.openai_server import OpenAIServer
from vendors.server import Say

pytestmark = pytest.mark.system

ENV = {"AI_TIMEOUT": "2"}


@pytest.mark.parametrize(
    ("kind", "calls", "code"),
    [
        # One repair turn and once more: more would only be paid for as well.
        ("schema_breaking", ["openai:invalid"] * 3, "ai_invalid_answer"),
        ("empty", ["openai:invalid"] * 3, "ai_invalid_answer"),
        ("refusal", ["openai:refused"], "ai_refused"),
        ("bad_request", ["openai:bad_request"], "ai_bad_request"),
    ],
)
def test_a_worthless_answer_is_a_failure_with_its_reason_and_never_a_summary(
    scene: Scene, openai: OpenAIServer, kind: str, calls: list[str], code: str
) -> None:
    lead_id, name = scene.make_lead()
    openai.always(kind, match=name)
    task = scene.ended(scene.summarize(lead_id))
    lead = scene.lead(lead_id)
    assert (task["status"], task["error"]["code"], task["result"]) == ("failed", code, None)
    assert (lead["summaryStatus"], lead["summaryError"]["code"]) == ("failed", code)
    assert (lead["summary"], lead["nextAction"], lead["summaryGeneratedAt"]) == (None, None, None)
    assert scene.outcomes(task["id"]) == calls
    assert openai.calls_about(name) == len(calls)


def test_one_broken_answer_is_repaired_in_the_same_run(scene: Scene, openai: OpenAIServer) -> None:
    lead_id, name = scene.make_lead()
    openai.script(Say("schema_breaking", match=name))
    task = scene.ended(scene.summarize(lead_id))
    assert (task["status"], task["attempt"]) == ("completed", 1)
    assert scene.outcomes(task["id"]) == ["openai:invalid", "openai:success"]


def test_a_rate_limit_is_waited_for_and_not_counted(scene: Scene, openai: OpenAIServer) -> None:
    lead_id, name = scene.make_lead()
    openai.script(Say("rate_limited", match=name, times=4, retry_after_ms="1000"))
    task_id = scene.summarize(lead_id)
    scene.until(lambda: scene.outcomes(task_id), "the first call")
    assert scene.lead(lead_id)["summaryStatus"] == "processing"
    task = scene.ended(task_id)
    # Four refusals are more than the three attempts a task has.
    assert (task["status"], task["attempt"]) == ("completed", 1)
    assert scene.outcomes(task_id) == ["openai:rate_limited"] * 4 + ["openai:success"]
    times = [call.at for call in openai.calls if name in call.prompt]
    assert min(later - earlier for earlier, later in itertools.pairwise(times)) >= 1.0


def test_a_model_that_never_answers_is_given_up_and_asked_again(scene: Scene, openai: OpenAIServer) -> None:
    lead_id, name = scene.make_lead()
    openai.script(Say("hang", match=name))
    task = scene.ended(scene.summarize(lead_id))
    assert (task["status"], task["attempt"]) == ("completed", 2)
    assert scene.outcomes(task["id"]) == ["openai:timeout", "openai:success"]


def test_a_failure_leaves_the_earlier_summary_as_it_was(scene: Scene, openai: OpenAIServer) -> None:
    lead_id, name = scene.make_lead()
    scene.ended(scene.summarize(lead_id))
    before = scene.lead(lead_id)
    openai.always("refusal", match=name)
    task = scene.ended(scene.summarize(lead_id, force=True))
    assert task["status"] == "failed"
    assert scene.lead(lead_id) == before
    assert before["summaryStatus"] == "ready"


def test_a_failed_task_can_be_run_again_by_hand(scene: Scene, openai: OpenAIServer) -> None:
    lead_id, name = scene.make_lead()
    openai.script(Say("refusal", match=name))
    task_id = scene.summarize(lead_id)
    assert scene.ended(task_id)["status"] == "failed"
    scene.call("POST", f"/tasks/{task_id}/retry", 202)
    assert scene.ended(task_id)["status"] == "completed"
    assert scene.lead(lead_id)["summaryStatus"] == "ready"
    scene.assert_summarised_once([lead_id])


def test_a_provider_that_is_down_is_left_alone_and_the_tasks_wait(scene: Scene, openai: OpenAIServer) -> None:
    """Last in this file: it opens the worker's circuit, so the worker is started anew."""
    openai.always("server_error")
    leads = [scene.make_lead() for _ in range(8)]
    tasks = [scene.summarize(lead_id) for lead_id, _ in leads]
    scene.until(lambda: "ai_circuit.opened" in scene.stack.logs("ai_worker"), "the circuit to open")
    scene.until(lambda: scene.count("tasks WHERE status = 'running'") == 0, "the runs to end")
    asked = openai.total
    assert asked <= 3 * len(leads)
    openai.reset()
    scene.stack.restart("ai_worker")
    # What waits for an open circuit waits for the rest of its time: half a minute that a test need not spend.
    scene.sql("UPDATE tasks SET run_at = now() WHERE status = 'queued'")
    for task_id in tasks:
        assert scene.ended(task_id)["status"] == "completed"
    scene.assert_summarised_once([lead_id for lead_id, _ in leads])
