"""Interactions straight in the tables, as the workers write them, and how answers show them."""

from typing import Any

import httpx
import orjson
from api_testkit import Api, Sql, make_lead

from contactship_common.models.base import new_id

BASE = "/api/v1/interactions"
CUSTOMER = "+5491134567890"
OURS = "+541140000000"
REASON = {"includePii": "true", "reason": "complaint 4711 of the customer"}
NOTHING = "01932d5c-89a4-7b6e-9f1a-3a5b7c9d1e2f"


async def put(sql: Sql, table: str, **values: Any) -> None:
    columns = ", ".join(values)
    places = ", ".join("%s" for _ in values)
    given = [orjson.dumps(value).decode() if isinstance(value, dict | list) else value for value in values.values()]
    await sql(f"INSERT INTO {table} ({columns}) VALUES ({places})", *given)


async def interaction(sql: Sql, **values: Any) -> str:
    """A finished inbound call of the customer, unless told otherwise; returns its id."""
    row = {
        "id": new_id(), "channel": "CALL", "direction": "INBOUND", "status": "COMPLETED", "from_number": CUSTOMER,
        "to_number": OURS, "customer_phone": CUSTOMER, "ai_handled": True, "provider": "ELEVENLABS",
    } | values  # fmt: skip
    await put(sql, "interactions", **row)
    return str(row["id"])


async def call(sql: Sql, interaction_id: str, **values: Any) -> None:
    await put(sql, "call_details", interaction_id=interaction_id, **values)


async def event(sql: Sql, interaction_id: str, raw: Any, normalized: Any = None, **values: Any) -> None:
    row = {
        "id": new_id(), "interaction_id": interaction_id, "type": "post_call_transcription", "provider": "ELEVENLABS",
        "idempotency_key": str(new_id()), "raw": orjson.dumps(raw).decode(),
        "normalized": orjson.dumps(normalized or {}).decode(),
    } | values  # fmt: skip
    await put(sql, "interaction_events", **row)


async def challenge(sql: Sql, interaction_id: str, **values: Any) -> str:
    row = {
        "id": new_id(), "phone_e164": CUSTOMER, "purpose": "LOGIN_2FA", "nonce": b"nonce-of-the-test", "status": "SENT",
        "expires_at": "2030-01-01T00:00:00Z", "correlation_id": f"login-{new_id()}", "requested_by": "key:root",
        "interaction_id": interaction_id,
    } | values  # fmt: skip
    await put(sql, "otp_challenges", **row)
    return str(row["id"])


async def conversation(api: Api, sql: Sql, *texts: str, channel: str = "whatsapp") -> tuple[str, str, str]:
    """A lead's conversation with these messages and the interaction that they belong to: ids of interaction,
    conversation, lead."""
    lead_id = (await make_lead(api))["id"]
    conversation_id, interaction_id = str(new_id()), str(new_id())
    await put(
        sql, "conversations", id=conversation_id, lead_id=lead_id, channel=channel, status="OPEN", last_seq=0,
        last_lead_seq=0, last_agent_seq=0, unread_count=0, ai_tags="{}", analysed_up_to=0,
    )  # fmt: skip
    await interaction(
        sql, id=interaction_id, channel="WHATSAPP", status="IN_PROGRESS", provider="BUILDERBOT", lead_id=lead_id,
        conversation_id=conversation_id,
    )  # fmt: skip
    for seq, text in enumerate(texts, start=1):
        await put(
            sql, "messages", id=new_id(), conversation_id=conversation_id, interaction_id=interaction_id, seq=seq,
            sender_type="LEAD", content_text=text, content_type="TEXT", status="DELIVERED",
        )  # fmt: skip
    return interaction_id, conversation_id, lead_id


async def listed(client: Any, **query: Any) -> list[str]:
    """The ids in the list."""
    answer = await client.get(BASE, params=query)
    assert answer.status_code == 200, answer.text
    return [row["id"] for row in answer.json()["data"]]


async def shown(client: Any, interaction_id: str, **query: Any) -> dict[str, Any]:
    answer = await client.get(f"{BASE}/{interaction_id}", params=query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def with_key(api: Api, *scopes: str) -> httpx.AsyncClient:
    """A machine with a new key of these scopes."""
    answer = await api.post("/api/v1/api-keys", json={"name": "machine", "scopes": list(scopes)})
    assert answer.status_code == 201, answer.text
    return api.client({"x-api-key": answer.json()["key"]})
