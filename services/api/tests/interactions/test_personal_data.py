"""Personal data in answers: hidden in every place where they can stand, shown to whoever may and says why."""

import io
import json
import logging
import re
from typing import Any

import pytest
import structlog
from api_testkit import Api, MakeApi, Sql, assert_problem
from interaction_testkit import (
    BASE,
    CUSTOMER,
    OURS,
    REASON,
    call,
    challenge,
    conversation,
    event,
    interaction,
    listed,
    put,
    shown,
    with_key,
)
from masking_testkit import HIDDEN, READABLE

from contactship_common.logs import configure_logging
from contactship_common.models.base import new_id
from contactship_common.settings import CoreSettings
from contactship_common.uow import Context, unit_of_work

AUDIT = "/api/v1/audit-logs"


def texts_in(value: Any) -> set[str]:
    """Every text of an answer, keys too."""
    if isinstance(value, str):
        return {value}
    if isinstance(value, dict):
        return set().union(*(texts_in(key) | texts_in(item) for key, item in value.items()))
    if isinstance(value, list):
        return set().union(*(texts_in(item) for item in value))
    return set()


def assert_hidden(told: Any, places: int) -> None:
    """Every text of the table is in the answer masked, and the plain ones as they are, in each of so many places."""
    found = texts_in(told)
    assert {masked for _, masked, _ in HIDDEN} <= found, "something is masked differently here"
    assert {text for text, masked, _ in HIDDEN if text != masked} & found == set()
    assert set(READABLE) <= found | {""}, set(READABLE) - found
    assert len(HIDDEN) * places <= str(told).count("***")


TABLE = [text for text, _, _ in HIDDEN] + [text for text in READABLE if text]


async def test_the_table_is_hidden_in_the_list(api: Api, sql: Sql) -> None:
    for text in TABLE:
        its = await interaction(
            sql, customer_ref=text, intent=text, queue=text, assigned_agent=text, provider_conversation_id=text[:255],
            provider="GENERIC",
        )  # fmt: skip
        await call(sql, its, summary=text)
    rows: list[Any] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await api.get(BASE, params={"limit": 100, "cursor": cursor})).json()
        rows += page["data"]
        cursor = page["meta"]["nextCursor"]
    assert len(rows) == len(TABLE)
    for field in ("customerRef", "intent", "queue", "assignedAgent", "providerConversationId", "summary"):
        assert_hidden([row[field] for row in rows], 1)
    numbers = {row[field] for row in rows for field in ("fromNumber", "toNumber", "customerPhone")}
    assert numbers == {"***7890", "***0000"}


async def test_the_table_is_hidden_in_one_interaction_wherever_it_can_stand(api: Api, sql: Sql) -> None:
    its, _, _ = await conversation(api, sql, *TABLE)
    await call(sql, its, transcript_text="\n\n".join(TABLE), summary=TABLE[0], recording_url="x/5491134567890.mp3")
    await event(sql, its, {"turns": [{"message": text} for text in TABLE]}, {"texts": TABLE})
    await event(sql, its, dict.fromkeys(TABLE, 1))
    body = await shown(api, its)
    assert_hidden([m["contentText"] for m in body["messages"]], 1)
    assert_hidden(body["events"][0]["raw"], 1)
    assert_hidden(body["events"][0]["normalized"], 1)
    keys = {key.rstrip("'") for key in body["events"][1]["raw"]}
    assert {masked.rstrip("'") for _, masked, _ in HIDDEN} <= keys
    transcript = body["callDetail"]["transcriptText"]
    assert [masked for _, masked, _ in HIDDEN if masked not in transcript] == []
    assert body["callDetail"]["recordingUrl"] == "x/***7890.mp3"
    assert CUSTOMER not in json.dumps(body)


async def test_the_table_is_hidden_in_the_audit_log(api: Api) -> None:
    async with unit_of_work(api.gateway.runtime, Context(actor="user:1", user_agent="tel 4567-8901")) as uow:
        uow.audit("x", "number", CUSTOMER, texts=TABLE, deep={"list": [{"phone": 5491134567890}]})
    [row] = (await api.get(AUDIT, params={"action": "x"})).json()["data"]
    assert_hidden(row["metadata"]["texts"], 1)
    assert row["metadata"]["deep"] == {"list": [{"phone": "***7890"}]}
    assert (row["entityId"], row["userAgent"]) == ("***7890", "tel ***8901")


@pytest.mark.parametrize("environment", ["production", "development"])
def test_the_table_is_hidden_in_logs(environment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [text for text, _, _ in HIDDEN] + (READABLE if environment == "production" else [])
    root, out = logging.getLogger(), io.StringIO()
    before, configured = (root.handlers, root.level), structlog.get_config()
    monkeypatch.setattr("sys.stderr", out)
    try:
        configure_logging(CoreSettings(environment=environment), "test")
        log = structlog.stdlib.get_logger()
        for text in texts:
            log.info("thing.happened", text=text, deep={"list": [text]})
            logging.getLogger("of.a.library").warning("it says %s", text)
            try:
                raise ValueError(text)
            except ValueError:
                log.exception("thing.failed")
    finally:
        root.handlers, root.level = before
        structlog.configure(**configured)
    # Source lines of a traceback name no value: the texts are in the variable.
    written = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z?", "", out.getvalue())  # microseconds may look like a code
    assert "thing.failed" in written
    if environment == "development":
        assert [secret for _, _, secret in HIDDEN if len(secret) > 4 and secret in written] == []
    else:
        lines = [json.loads(line) for line in out.getvalue().splitlines()]
        expected = [*(masked for _, masked, _ in HIDDEN), *READABLE]
        told = [(line["text"], line["deep"]["list"]) for line in lines if line["event"] == "thing.happened"]
        assert told == [(text, [text]) for text in expected]
        errors = [line["exception"] for line in lines if line["event"] == "thing.failed"]
        assert [text for text, error in zip(expected, errors, strict=True) if text not in error] == []


async def test_a_number_is_found_without_being_revealed(api: Api, sql: Sql) -> None:
    its = await interaction(sql, intent="billing for 11 3456-7890", customer_ref="A-17 DNI 12345678")
    await call(sql, its, transcript_text="user: my number is 11 3456 7890 and I want to cancel")
    for whole in (CUSTOMER, "+54 9 11 3456-7890", "5491134567890", "7890"):
        answer = await api.get(BASE, params={"search": whole})
        assert [row["id"] for row in answer.json()["data"]] == [its], whole
        assert "3456" not in answer.text
    # Nothing can be spelled out digit by digit.
    for part in ("67890", "34567890", "54911", "3456-7", "11 3456 7890", "12345678", "DNI 123", "a@", "00"):
        assert await listed(api, search=part) == [], part
    for words in ("want to CANCEL", "billing"):
        assert await listed(api, search=words) == [its]
    for part in ("67890", "34567890", "my number is 11 34", "DNI 123"):
        assert await listed(api, search=part, **REASON) == [its], part


async def reveals(sql: Sql) -> list[dict[str, Any]]:
    return await sql(
        "SELECT action, actor, entity_type, entity_id, data FROM audit_logs WHERE action LIKE 'pii.%%' ORDER BY id"
    )


async def test_whoever_may_and_says_why_sees_one_answer_clear_and_is_written_down(api: Api, sql: Sql) -> None:
    its = await interaction(sql, intent="call 11 3456-7890")
    await challenge(sql, its)
    body = await shown(api, its, **REASON)
    assert (body["fromNumber"], body["intent"], body["personalData"]) == (CUSTOMER, "call 11 3456-7890", "clear")
    assert body["otpChallenges"][0]["phone"] == CUSTOMER
    [row] = await reveals(sql)
    assert row == {
        "action": "pii.reveal", "actor": "key:root", "entity_type": "interaction", "entity_id": its,
        "data": {
            "reason": REASON["reason"], "ids": [its], "operation": "GET /api/v1/interactions/{interaction_id}",
        },
    }  # fmt: skip
    # The next answer is masked again.
    assert (await shown(api, its))["fromNumber"] == "***7890"


@pytest.mark.parametrize("path", [BASE, f"{BASE}/client/{CUSTOMER}", AUDIT, "/api/v1/webhooks/inbox"])
async def test_every_place_reveals_by_the_same_rule(api: Api, sql: Sql, path: str) -> None:
    await interaction(sql)
    await put(
        sql, "audit_logs", id=new_id(), actor="user:1", action="a", data={"phone": CUSTOMER},
    )  # fmt: skip
    await put(
        sql, "webhook_inbox", id=new_id(), provider="builderbot", kind="whatsapp", key="k", headers={},
        body=json.dumps({"from": CUSTOMER}).encode(), attempts=0, query={},
    )  # fmt: skip
    agent = await api.client_for("SALES_AGENT")
    all_but = await with_key(api, "interactions:read", "audit:read", "admin")
    may = await with_key(api, "interactions:read", "audit:read", "admin", "pii:read")
    admin = await api.client_for("ADMIN")
    header = {"x-include-pii": "true", "x-pii-reason": "because", "x-user-role": "ADMIN", "includePii": "true"}
    for client in (api.root, admin, may, all_but):
        masked = await client.get(path, headers=header)
        assert masked.status_code == 200, masked.text
        assert CUSTOMER not in masked.text
    for client in (api.root, admin, may):
        for wrong in ("", "  ", "ab", None):
            query = {"includePii": "true"} | ({"reason": wrong} if wrong is not None else {})
            assert_problem(await client.get(path, params=query), 422, "pii_reason_missing")
        for wrong in ("a" * 301, "a\x01b"):
            assert_problem(await client.get(path, params={"includePii": "true", "reason": wrong}), 422)
    assert await reveals(sql) == []
    for client in (api.root, admin, may):
        clear = await client.get(path, params=REASON)
        assert clear.status_code == 200, clear.text
        assert CUSTOMER in clear.text
    assert len(await reveals(sql)) == 3
    for query in (REASON, {"includePii": "true"}):
        assert_problem(await all_but.get(path, params=query), 403, "pii_not_allowed")
        assert (await agent.get(path, params=query)).json()["code"] in ("pii_not_allowed", "forbidden")
    refused = [row for row in await reveals(sql) if row["action"] == "pii.refused"]
    assert len(refused) >= 2
    assert CUSTOMER not in str(await reveals(sql))


async def test_an_answer_that_cannot_be_written_down_is_not_given(api: Api, sql: Sql) -> None:
    its = await interaction(sql)
    await sql("ALTER TABLE audit_logs ADD CONSTRAINT no_more CHECK (action <> 'pii.reveal') NOT VALID")
    client = api.client(dict(api.root.headers), raise_errors=False)
    answer = await client.get(f"{BASE}/{its}", params=REASON)
    assert answer.status_code >= 400
    assert CUSTOMER not in answer.text


async def test_what_was_not_found_was_not_revealed(api: Api, sql: Sql) -> None:
    assert (await api.get(f"{BASE}/{new_id()}", params=REASON)).status_code == 404
    assert await reveals(sql) == []


async def test_personal_data_in_a_reason_are_masked_before_they_are_stored(api: Api, sql: Sql) -> None:
    its = await interaction(sql)
    await shown(api, its, includePii="true", reason=f"wants {CUSTOMER} erased")
    assert (await reveals(sql))[0]["data"]["reason"] == "wants ***7890 erased"


async def test_a_change_is_answered_masked(api: Api, sql: Sql) -> None:
    its = await interaction(sql)
    answer = await api.patch(f"{BASE}/{its}", json={"customerRef": "DNI 12345678", "assignedAgent": "ana@x.com"})
    assert (answer.json()["customerRef"], answer.json()["assignedAgent"]) == ("DNI ***", "a***a@x.com")
    assert_problem(await api.patch(f"{BASE}/{its}?includePii=true&reason=why", json={}), 422, "validation_failed")
    [row] = await sql("SELECT customer_ref FROM interactions")
    assert row["customer_ref"] == "DNI 12345678"


async def test_masking_can_be_switched_off(make_api: MakeApi, sql: Sql, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PII_MASKING_ENABLED", "false")
    api = await make_api()
    its = await interaction(sql, to_number=OURS)
    body = await shown(api, its)
    assert (body["toNumber"], body["personalData"]) == (OURS, "clear")


async def test_payloads_of_any_depth_and_size_are_shown_cut(api: Api, sql: Sql) -> None:
    its = await interaction(sql)
    await event(sql, its, {})
    await sql("UPDATE interaction_events SET raw = %s::jsonb", '{"a":[' * 200 + f'"{CUSTOMER}"' + "]}" * 200)
    await event(sql, its, {"audio": "QUJD" * 50_000, "from": CUSTOMER})
    body = await shown(api, its)
    assert CUSTOMER not in json.dumps(body)
    audio = body["events"][1]["raw"]["audio"]
    assert len(audio) < 21_000
    assert audio.endswith("…")
