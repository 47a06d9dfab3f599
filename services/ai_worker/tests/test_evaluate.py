"""`make eval`: what it measures, what it says, and how well the local rules do on the half nobody wrote them on."""

import json
from pathlib import Path

import pytest
from vendors.ai_bench import Benches
from vendors.openai_server import OpenAIServer
from vendors.server import Say

from contactship_ai_worker.evaluate import Example, demo_examples, evaluate, main
from contactship_common.classification.categories import load_categories
from contactship_common.settings import AISettings

LOCAL = AISettings(ai_providers=("local",))
MEETINGS = "Nombre,Transcripcion\nAna,Es una multinacional de seguros.\nEva,Hola.\n"


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    (tmp_path / "meetings.csv").write_text(MEETINGS, "utf-8")
    (tmp_path / "labels.csv").write_text("key,businessSector,urgency\n1,insurance,false\n2,retail,false\n", "utf-8")
    return str(tmp_path / "meetings.csv"), str(tmp_path / "labels.csv")


async def test_on_the_held_out_half_the_local_rules_are_right_more_often_than_not() -> None:
    report = await evaluate("b", demo_examples("b"), LOCAL, load_categories())
    assert not report.failed
    assert len(report.calls) == len(demo_examples("b")) >= 60
    for name in ("businessSector", "primaryPainPoint", "useCase", "sentiment"):
        assert report.accuracy(name) >= 0.60, name


async def test_empty_labels_are_right_where_the_answer_is_empty_and_counted_apart() -> None:
    examples = [
        Example("1", "Es una multinacional de seguros.", {"businessSector": "insurance"}),
        Example("2", "Hola.", {"businessSector": None}),
        Example("3", "Hola.", {"businessSector": "retail"}),
    ]
    [result] = (await evaluate("x", examples, LOCAL, load_categories())).fields
    assert (result.n, result.right, result.named, result.right_named, result.majority) == (3, 2, 2, 1, 1)


def test_a_file_of_ones_own_is_measured(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--provider", "local", "--file", files[0], "--labels", files[1]]) == 0
    said = capsys.readouterr().out
    assert [line.split()[2:6] for line in said.splitlines() if line.startswith(("businessSector", "urgency"))] == [
        ["50%", "50%", "2", "50%"],
        ["100%", "100%", "2", "100%"],
    ]
    assert "local:local-rules: 2 calls, 0 tokens in, 0 out, 0.0000 USD" in said


def test_a_wanted_accuracy_that_is_missed_fails(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--provider", "local", "--file", files[0], "--labels", files[1], "--min"]
    assert main([*command, "urgency=0.9"]) == 0
    assert main([*command, "businessSector=0.9"]) == 1
    assert "too low: file: businessSector has 50%, wanted 90%" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ("key,businessSector\n7,retail\n", "the key '7' is no row of"),
        ("key,businessSector\n1,retail\n1,retail\n", "a key stands there twice"),
        ("key,shoeSize\n1,42\n", "no such field: shoeSize"),
        ("key,businessSector\n1,retail,more\n", "a row has more columns than its header"),
        ("key,businessSector\n1,shoes\n", "shoes is no value of businessSector"),
    ],
)
def test_labels_that_fit_no_meeting_or_field_are_refused(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str], labels: str, says: str
) -> None:
    Path(files[1]).write_text(labels, "utf-8")
    assert main(["--provider", "local", "--file", files[0], "--labels", files[1]]) == 2
    assert says in capsys.readouterr().err


def test_a_missing_file_and_a_missing_key_are_told_in_one_line(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["--provider", "local", "--file", "nowhere.csv", "--labels", files[1]]) == 2
    assert "nowhere.csv cannot be read: FileNotFoundError" in capsys.readouterr().err
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert main(["--provider", "openai", "--half", "a"]) == 2
    assert "OPENAI_API_KEY" in capsys.readouterr().err


async def test_a_paid_model_is_asked_by_the_real_engine_and_its_cost_is_told(
    bench: Benches, openai_vendor: OpenAIServer
) -> None:
    categories = load_categories()
    answer = {
        "summary": "Una reunión de prueba.", "keyTopics": ["uno", "dos"], "actionItems": ["Llamar"], "nextSteps": "Llamar.",
        "language": "es", "sentiment": "neutral", "urgency": False, "lostClientBadMeeting": False, "confidenceScore": 0.5,
    } | dict.fromkeys(category.name for category in categories)  # fmt: skip
    openai_vendor.script(Say("text", text=json.dumps(answer), times=None))
    examples = [Example(str(n), "Hola.", {"region": None, "urgency": "true"}) for n in range(3)]
    report = await evaluate("x", examples, bench.settings("openai"), categories)
    assert not report.failed
    assert (report.accuracy("region"), report.accuracy("urgency")) == (1.0, 0.0)
    assert openai_vendor.total == len(report.calls) == 3
    assert sum(call.input_tokens for call in report.calls) > 0


async def test_a_question_without_an_answer_counts_as_wrong(bench: Benches, openai_vendor: OpenAIServer) -> None:
    openai_vendor.script(Say("refusal", times=None))
    report = await evaluate("x", [Example("1", "Hola.", {"region": None})], bench.settings("openai"), load_categories())
    assert report.accuracy("region") == 0.0
    assert list(report.failed) == ["1"]
