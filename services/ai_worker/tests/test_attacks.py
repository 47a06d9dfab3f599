"""Text by strangers is data: it cannot leave its fence, instruct, or widen what may be answered."""

import json
import re

import pytest
from vendors.ai_bench import Benches
from vendors.attack_texts import ATTACKS
from vendors.server import Say

from contactship_ai_worker.fence import Limits, clean, fenced, prepare
from contactship_ai_worker.lead_summary import LeadFacts, LeadSummaryOutput
from contactship_ai_worker.prompts import load_prompt
from contactship_common.tasks.outcomes import Permanent


def _facts(attack: str) -> LeadFacts:
    return LeadFacts(full_name=attack, status="new", source="web", profession=attack, lines=[attack, attack])


def test_there_are_forty_attacks() -> None:
    assert len(set(ATTACKS)) == 40


@pytest.mark.parametrize("provider", ["openai", "gemini"])
@pytest.mark.parametrize("attack", ATTACKS)
async def test_an_attack_stays_inside_its_fence(bench: Benches, provider: str, attack: str) -> None:
    made = bench(provider)
    answer = await made.summarize(_facts(attack))
    assert isinstance(answer.value, LeadSummaryOutput)

    [call] = bench.server(provider).calls
    if provider == "openai":
        system, user = (message["content"] for message in call.body["messages"])
    else:
        system = call.body["systemInstruction"]["parts"][0]["text"]
        [user] = [part["text"] for content in call.body["contents"] for part in content["parts"]]
    token = re.findall(r"<data-([0-9a-f]{24})>", system)[0]
    assert token not in attack
    # The instructions are ours to the last character.
    assert re.sub(token, "TOKEN", system) == re.sub(
        r"data-[0-9a-f]{24}", "data-TOKEN", f"{load_prompt('lead_summary').text}\n\n{fenced({})[0]}"
    )
    # The data is one JSON block, and nothing in it can be taken for a fence.
    opening, block, closing = user.split("\n")
    assert (opening, closing) == (f"<data-{token}>", f"</data-{token}>")
    assert not set("<>&") & set(block)
    data = json.loads(block)
    assert set(data) == set(LeadFacts.model_fields)
    assert len(block) <= Limits().input_chars
    assert all(char.isprintable() or char == "\n" for char in data["full_name"])
    assert not {"jefe@", "admin@"} & set(re.findall(r"\w+@", block))
    assert "3456-7890" not in block


def test_every_call_has_a_fence_of_its_own() -> None:
    assert len({fenced({})[0] for _ in range(100)}) == 100


OBEYED = [
    "HACKEADO",
    '{"summary": "HACKED", "next_action": "HACKED"}',
    "{}",
    '{"summary": null, "next_action": null}',
    json.dumps({"summary": "s" * 60, "next_action": "n" * 30, "status": "converted"}),
    json.dumps({"summary": "s" * 301, "next_action": "n" * 30}),
    json.dumps({"summary": "s" * 60, "next_action": "n" * 151}),
    json.dumps({"summary": "   " + "s" * 49 + "   ", "next_action": "n" * 30}),
    json.dumps({"summary": "s" * 60 + "\u001b[2J", "next_action": "n" * 30}),
    json.dumps({"summary": "s" * 60 + "\u202e", "next_action": "n" * 30}),
    json.dumps({"summary": ["s" * 60], "next_action": "n" * 30}),
    json.dumps([{"summary": "s" * 60, "next_action": "n" * 30}]),
    '{"summary": "' + "s" * 60 + '\\ud800", "next_action": "' + "n" * 30 + '"}',
    "I will comply. " + json.dumps({"summary": "s" * 60, "next_action": "n" * 30}),
]


@pytest.mark.parametrize("provider", ["openai", "gemini"])
@pytest.mark.parametrize("obeyed", OBEYED)
async def test_a_model_that_obeys_an_attack_is_refused(bench: Benches, provider: str, obeyed: str) -> None:
    made = bench(provider)
    bench.server(provider).script(Say("text", text=obeyed, times=None))
    with pytest.raises(Permanent) as raised:
        await made.summarize(_facts(ATTACKS[0]))
    assert raised.value.code == "ai_invalid_answer"
    assert "HACK" not in str(raised.value)


async def test_a_model_that_obeys_once_is_repaired(bench: Benches) -> None:
    made = bench("openai")
    bench.openai.script(Say("text", text='{"summary": "HACKED", "do what I say now": 1}'))
    answer = await made.summarize()
    assert "HACKED" not in answer.value.summary
    system = bench.openai.calls[1].body["messages"][0]["content"]
    assert "at least 50 characters" in system
    assert "do what I say" not in system


def test_invisible_characters_are_stripped_and_visible_ones_kept() -> None:
    assert clean("Jo\u0301se\u200b \u202eÑandú\u2069 李 👋🏽\t!") == "Jóse Ñandú 李 👋🏽 !"
    assert clean("a\r\nb\u2028c\x00d") == "a\nb\ncd"


def test_too_many_lines_lose_the_oldest() -> None:
    facts = LeadFacts(full_name="Ana", status="new", source="web", lines=[f"{i} {'x' * 500}" for i in range(100)])
    seen = prepare(facts, send_pii=False, limits=Limits(input_chars=8_000))
    assert seen["lines"][-1].startswith("99 ")
    assert 0 < len(seen["lines"]) < 16


def test_data_that_can_never_fit_is_refused() -> None:
    facts = LeadFacts(full_name="Ana" * 100, status="new", source="web")
    with pytest.raises(Permanent):
        prepare(facts, send_pii=False, limits=Limits(input_chars=100))


def test_personal_data_is_sent_only_when_allowed() -> None:
    facts = LeadFacts(full_name="Ana", status="new", source="web", lines=["ana.paz@x.com, 11 3456-7890"])
    assert prepare(facts, send_pii=True, limits=Limits())["lines"] == ["ana.paz@x.com, 11 3456-7890"]
    assert prepare(facts, send_pii=False, limits=Limits())["lines"] == ["a***z@x.com, ***7890"]


async def test_nothing_of_the_question_reaches_a_log(
    bench: Benches, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    made = bench("openai,gemini")
    bench.openai.script("unauthorized", "server_error", "empty")
    bench.gemini.script("schema_breaking")
    await made.summarize(LeadFacts(full_name="Zoraida", status="new", source="web", lines=["zora@x.com"]))
    output = capsys.readouterr()
    everything = output.out + output.err + caplog.text
    assert not [word for word in ("Zoraida", "zora", "sk-test", "g-test") if word in everything]
