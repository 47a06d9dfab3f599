"""Meetings from the seed to the classification, with real processes."""

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from system_testkit import Scene, SceneFactory
from vendors.openai_server import OpenAIServer

from contactship_common.classification.categories import FIXED, allowed_values, load_categories

pytestmark = pytest.mark.system

CATEGORIES = load_categories()
TEXTS = {"keyTopics", "actionItems", "nextSteps", "summary"}


def _classified(scene: Scene, expected: int, *, seconds: float = 60.0) -> list[dict[str, Any]]:
    """All classifications, once there are so many."""

    def look() -> bool:
        total: int = scene.call("GET", "/classifications", 200, params={"take": 1})["meta"]["total"]
        return total >= expected

    scene.until(look, f"{expected} classifications", seconds=seconds)
    rows: list[dict[str, Any]] = []
    while len(rows) < expected:
        page = scene.call("GET", "/classifications", 200, params={"take": 100, "page": len(rows) // 100 + 1})
        rows += page["data"]
    assert len(rows) == expected
    return rows


def _assert_complete(row: dict[str, Any]) -> None:
    for field in (*FIXED, *(category.name for category in CATEGORIES)):
        allowed = allowed_values(CATEGORIES, field)
        assert allowed is not None
        assert row[field] in allowed, field
    assert 0.1 <= row["confidenceScore"] <= 0.95
    assert 2 <= len(row["keyTopics"]) <= 5
    assert 1 <= len(row["actionItems"]) <= 3
    assert all(row[text] for text in TEXTS)


def test_the_demo_meetings_are_classified_in_seconds_once_and_deleted_ones_stay_away(
    scene: Scene, openai: OpenAIServer
) -> None:
    started = time.monotonic()
    made = scene.call("POST", "/seeds/populate", 202)
    count = made["created"]["meetings"]
    assert count >= 60
    for row in _classified(scene, count):
        _assert_complete(row)
    print(f"{count} demo meetings classified in {time.monotonic() - started:.1f} s")
    assert openai.total == count

    again = scene.call("POST", "/seeds/populate", 200)
    assert (again["created"]["meetings"], again["queued"]) == (0, 0)

    [gone] = scene.call("GET", "/meetings", 200, params={"take": 1})["data"]
    scene.call("DELETE", f"/meetings/{gone['id']}", 204)
    assert scene.call("POST", "/seeds/populate", 200)["created"]["meetings"] == 0
    assert scene.call("GET", "/meetings", 200, params={"take": 1})["meta"]["total"] == count - 1
    assert openai.total == count


def _make_meeting(scene: Scene, transcript: str = "Cliente: Somos una cadena de tiendas.") -> str:
    number = time.monotonic_ns()
    client = scene.call("POST", "/clients", 201, json={"name": f"Ana {number}"})
    seller = scene.call("POST", "/sellers", 201, json={"name": f"Boa {number}", "email": f"boa{number}@example.com"})
    meeting = {
        "clientId": client["id"], "sellerId": seller["id"], "meetingAt": "2026-03-10T15:00:00Z", "transcript": transcript,
    }  # fmt: skip
    return str(scene.call("POST", "/meetings", 201, json=meeting)["id"])


def test_fifty_calls_at_once_on_one_meeting_are_one_task_and_one_paid_call(scene: Scene, openai: OpenAIServer) -> None:
    meeting_id = _make_meeting(scene)
    openai.latency = 1.0

    async def ask() -> list[httpx.Response]:
        headers = {"x-api-key": scene.stack.api_key}
        async with httpx.AsyncClient(headers=headers, timeout=30, base_url=scene.stack.api_url) as client:
            return await asyncio.gather(
                *(client.post(f"/api/v1/workers/classify/{meeting_id}", json={}) for _ in range(50))
            )

    answers = asyncio.run(ask())
    assert {answer.status_code for answer in answers} == {202}
    [task_id] = {answer.json()["taskId"] for answer in answers}
    assert scene.ended(task_id)["status"] == "completed"
    assert openai.total == 1
    assert scene.call("POST", f"/workers/classify/{meeting_id}", 200)["meetingId"] == meeting_id
    assert openai.total == 1


def test_a_batch_of_500_is_done_and_adds_up_on_the_way(scene: Scene, openai: OpenAIServer) -> None:
    _make_meeting(scene)
    scene.sql(
        "INSERT INTO meetings (id, client_id, seller_id, meeting_at, status, transcript, transcript_changed_at) "
        "SELECT gen_random_uuid(), client_id, seller_id, now(), 'open', 'Cliente: batch ' || n, now() "
        "FROM (SELECT * FROM meetings ORDER BY created_at DESC LIMIT 1) AS m, generate_series(1, 500) AS n"
    )
    ids = [str(row["id"]) for row in scene.sql("SELECT id FROM meetings WHERE transcript LIKE 'Cliente: batch %'")]
    made = scene.call("POST", "/workers/classify/batch", 202, json={"meetingIds": ids})
    assert made["totalQueued"] == 500

    def look() -> bool:
        seen = scene.call("GET", f"/workers/batch/{made['batchId']}", 200)
        assert seen["total"] == seen["completed"] + seen["failed"] + seen["processing"] == 500
        return bool(seen["status"] == "completed")

    scene.until(look, "the batch to end", seconds=90)
    assert scene.call("GET", f"/workers/batch/{made['batchId']}", 200)["completed"] == 500
    assert openai.total == 500


def test_a_refusal_leaves_the_earlier_classification(scene: Scene, openai: OpenAIServer) -> None:
    meeting_id = _make_meeting(scene)
    scene.ended(scene.call("POST", f"/workers/classify/{meeting_id}", 202)["taskId"])
    before = scene.call("GET", f"/classifications/{meeting_id}", 200)
    openai.always("refusal")
    task = scene.ended(
        scene.call("POST", f"/workers/classify/{meeting_id}", 202, json={"forceReprocess": True})["taskId"]
    )
    assert (task["status"], task["error"]["code"]) == ("failed", "ai_refused")
    assert scene.call("GET", f"/classifications/{meeting_id}", 200) == before


def test_a_correction_survives_a_forced_run(scene: Scene) -> None:
    meeting_id = _make_meeting(scene)
    scene.ended(scene.call("POST", f"/workers/classify/{meeting_id}", 202)["taskId"])
    body = {
        "subjectType": "meeting", "subjectId": meeting_id, "field": "businessSector", "verdict": "wrong",
        "correctedValue": "insurance",
    }  # fmt: skip
    scene.call("POST", "/ai/feedback", 201, json=body)
    scene.ended(scene.call("POST", f"/workers/classify/{meeting_id}", 202, json={"forceReprocess": True})["taskId"])
    shown = scene.call("GET", f"/classifications/{meeting_id}", 200)
    assert (shown["businessSector"], shown["correctedFields"]) == ("insurance", ["businessSector"])
    assert len(shown["history"]) == 1


OWN = "categories: [{name: mood, about: The mood of the room., values: {good: '', bad: awful}}]"


def test_another_companys_categories_from_end_to_end(make_scene: SceneFactory, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(OWN, "utf-8")
    scene = make_scene("api", "scheduler", "ai_worker", env={"CLASSIFICATION_FILE": str(tmp_path / "own.yaml")})
    meeting_id = _make_meeting(scene)
    scene.ended(scene.call("POST", f"/workers/classify/{meeting_id}", 202)["taskId"])
    shown = scene.call("GET", f"/classifications/{meeting_id}", 200)
    assert shown["mood"] == "good"
    assert "businessSector" not in shown
    assert scene.call("GET", "/classifications", 200, params={"mood": "good"})["meta"]["total"] == 1
    scene.call("GET", "/classifications", 422, params={"mood": "awful"})
