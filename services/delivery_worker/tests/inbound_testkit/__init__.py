"""Webhooks that are in the inbox already, and the worker that handles them."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert

from contactship_common.contact_center import builderbot, elevenlabs, twilio
from contactship_common.contact_center.pieces import Piece
from contactship_common.models import InboxEntry
from contactship_common.models.base import new_id
from contactship_common.runtime import Runtime
from contactship_common.settings import ContactCenterSettings
from contactship_common.tasks.catalog import HandleWebhook
from contactship_common.tasks.runner import Runner
from contactship_common.tasks.store import TaskRef
from contactship_common.uow import Context, unit_of_work
from contactship_delivery_worker.handlers.handle_webhook import WebhookHandler
from contactship_devstack.testing import Sql

PHONE = "+5491155551234"


class Inbox:
    def __init__(self, runtime: Runtime, sql: Sql) -> None:
        self.runtime = runtime
        self.sql = sql
        self.use()

    def use(self, **settings: Any) -> None:
        """Go on with these settings, as after a restart of the worker."""
        handler = WebhookHandler(ContactCenterSettings(**settings))
        self.runner = Runner(self.runtime, {HandleWebhook.KIND: handler}, owner="worker-1")

    async def put(self, provider: str, kind: str, piece: Piece, query: Mapping[str, str] | None = None) -> UUID:
        """Store it as the gateway does, without a task; returns the entry's id."""
        values = {
            "id": new_id(), "provider": provider, "kind": kind, "key": piece.stored_key, "headers": {},
            "query": dict(query or {}), "body": piece.body, "attempts": 0,
        }  # fmt: skip
        async with unit_of_work(self.runtime) as uow:
            await uow.session.execute(insert(InboxEntry).values(values))
        entry_id: UUID = values["id"]  # type: ignore[assignment]
        return entry_id

    async def ask(self, entry_id: UUID) -> TaskRef:
        async with unit_of_work(self.runtime, Context(actor="provider:test")) as uow:
            return uow.enqueue(HandleWebhook(inbox_id=entry_id))

    async def handle(self, entry_id: UUID) -> dict[str, Any]:
        """Have it handled; returns the task."""
        ref = await self.ask(entry_id)
        await self.sql("UPDATE tasks SET run_at = now() WHERE id = %s AND status = 'queued'", ref.id)
        await self.runner.run(ref.id)
        [task] = await self.sql("SELECT * FROM tasks WHERE id = %s", ref.id)
        return task

    async def call(self, event: Any) -> dict[str, Any]:
        """An event of ElevenLabs, handled."""
        return await self.handle(await self.put_call(event))

    async def put_call(self, event: Any) -> UUID:
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        [piece] = elevenlabs.split(body)
        return await self.put("elevenlabs", "call", piece)

    async def whatsapp(self, event: Any) -> dict[str, Any]:
        """An event of BuilderBot, handled."""
        return await self.handle(await self.put_whatsapp(event))

    async def put_whatsapp(self, event: Any) -> UUID:
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        [piece] = builderbot.split(body)
        return await self.put("builderbot", "whatsapp", piece)

    async def sms(self, fields: Mapping[str, str], *, kind: str = "sms_inbound", **query: str) -> dict[str, Any]:
        """A form of Twilio, handled."""
        return await self.handle(await self.put_sms(fields, kind=kind, **query))

    async def put_sms(self, fields: Mapping[str, str], *, kind: str = "sms_inbound", **query: str) -> UUID:
        body = urlencode(fields).encode()
        [piece] = twilio.split(kind, twilio.form_of(body), body)
        return await self.put("twilio", kind, piece, query)

    async def one(self, table: str) -> dict[str, Any]:
        """The only row of a table."""
        [row] = await self.sql(f"SELECT * FROM {table}")  # a name from a test
        return row

    async def count(self, table: str) -> int:
        [row] = await self.sql(f"SELECT count(*) AS n FROM {table}")  # a name from a test
        return int(row["n"])


def incoming(text: str | None = "Hola, quiero un presupuesto", **changes: Any) -> dict[str, Any]:
    """A WhatsApp message as BuilderBot tells of it."""
    data = {"id": f"wamid.{new_id().hex}", "from": PHONE.lstrip("+"), "body": text, "name": "Ana Paz"} | changes
    return {"eventName": "message.incoming", "data": data}


def outgoing(text: str, **changes: Any) -> dict[str, Any]:
    data = {"respMessage": {"key": {"id": new_id().hex, "remoteJid": f"{PHONE[1:]}@s.whatsapp.net"}}, "answer": text}
    return {"eventName": "message.outgoing", "data": data | changes}


def transcription(call_id: str = "conv_1", **changes: Any) -> dict[str, Any]:
    """ElevenLabs' envelope after a call."""
    data = {
        "agent_id": "agent_1", "agent_name": "Sofía", "conversation_id": call_id, "status": "done",
        "transcript": [
            {"role": "agent", "message": "Hola, ¿en qué puedo ayudarlo?", "time_in_call_secs": 0},
            {"role": "user", "message": "Quiero saber el precio", "time_in_call_secs": 4},
        ],
        "metadata": {
            "start_time_unix_secs": 1_760_000_000, "call_duration_secs": 65, "termination_reason": "user hung up",
            "phone_call": {"direction": "inbound", "agent_number": "+14155550100", "external_number": PHONE},
        },
        "analysis": {"call_successful": "success", "transcript_summary": "Preguntó el precio."},
    } | changes  # fmt: skip
    return {"type": "post_call_transcription", "event_timestamp": 1_760_000_070, "data": data}
