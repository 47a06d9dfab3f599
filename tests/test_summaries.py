"""A lead's summary as a new user asks for it, with every provider.

Each test starts the worker anew with settings of its own.
"""

import pytest
from system_testkit import Scene
from vendors.gemini_server import GeminiServer
from vendors.openai_server import OpenAIServer

pytestmark = pytest.mark.system


def _summarised(scene: Scene) -> tuple[dict[str, object], dict[str, object], str]:
    """Make a lead, ask, wait; returns the task, the lead and the name vendors know it by."""
    lead_id, name = scene.make_lead(metadata={"profession": "Arquitecta"}, dateOfBirth="1985-04-02")
    assert scene.lead(lead_id)["summaryStatus"] == "none"
    task = scene.ended(scene.summarize(lead_id))
    lead = scene.lead(lead_id)
    assert task["status"] == "completed", task
    assert lead["summaryStatus"] == "ready"
    assert 50 <= len(lead["summary"]) <= 300
    assert 20 <= len(lead["nextAction"]) <= 150
    assert lead["nextAction"] == lead["next_action"]
    scene.assert_summarised_once([lead_id])
    return task, lead, name


def test_without_any_key_the_rules_answer(scene: Scene) -> None:
    scene.stack.restart("ai_worker", env={"AI_PROVIDERS": "local"})
    task, lead, name = _summarised(scene)
    assert task["result"]["provider"] == "local"
    assert name in str(lead["summary"])


def test_openai_answers(scene: Scene, openai: OpenAIServer) -> None:
    scene.stack.restart("ai_worker", env={"AI_PROVIDERS": "openai"})
    task, _, name = _summarised(scene)
    assert task["result"]["provider"] == "openai"
    assert scene.outcomes(task["id"]) == ["openai:success"]
    assert openai.calls_about(name) == 1


def test_gemini_answers(scene: Scene, gemini: GeminiServer) -> None:
    scene.stack.restart("ai_worker", env={"AI_PROVIDERS": "gemini"})
    task, _, name = _summarised(scene)
    assert task["result"]["provider"] == "gemini"
    assert gemini.calls_about(name) == 1


def test_gemini_answers_while_openai_fails(scene: Scene, openai: OpenAIServer, gemini: GeminiServer) -> None:
    scene.stack.restart("ai_worker", env={"AI_PROVIDERS": "openai,gemini"})
    openai.always("server_error")
    task, _, name = _summarised(scene)
    assert task["result"]["provider"] == "gemini"
    assert task["attempt"] == 1
    # Three tries within seconds, then the next provider, all in one run.
    assert scene.outcomes(task["id"]) == ["openai:error"] * 3 + ["gemini:success"]
    assert gemini.calls_about(name) == 1


def test_a_refused_key_is_not_tried_again_with_every_task(
    scene: Scene, openai: OpenAIServer, gemini: GeminiServer
) -> None:
    scene.stack.restart("ai_worker")
    openai.always("unauthorized")
    first, second = _summarised(scene)[0], _summarised(scene)[0]
    assert scene.outcomes(first["id"]) == ["openai:auth", "gemini:success"]
    assert scene.outcomes(second["id"]) == ["gemini:success"]
    assert (openai.total, gemini.total) == (1, 2)
    assert "provider.out" in scene.stack.logs("ai_worker")
