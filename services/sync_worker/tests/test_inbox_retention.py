"""Bodies of webhooks are personal data: they go after INBOX_RETENTION_DAYS."""

from contactship_common.models import InboxEntry
from contactship_common.runtime import Runtime
from contactship_common.uow import unit_of_work
from contactship_devstack.testing import Sql
from contactship_sync_worker.retention import Retention


async def test_the_body_of_what_was_handled_a_month_ago_goes_and_its_key_stays(runtime: Runtime, sql: Sql) -> None:
    async with unit_of_work(runtime) as uow:
        for key in ("old", "recent", "unhandled"):
            uow.session.add(InboxEntry(provider="twilio", kind="sms_inbound", key=key, body=b"Body=Hola"))
    await sql("UPDATE webhook_inbox SET received_at = now() - interval '90 days'")
    await sql("UPDATE webhook_inbox SET handled_at = now() - interval '31 days' WHERE key = 'old'")
    await sql("UPDATE webhook_inbox SET handled_at = now() - interval '29 days' WHERE key = 'recent'")
    assert (await Retention(runtime).sweep())["webhook_inbox"] == 1
    assert (await Retention(runtime).sweep())["webhook_inbox"] == 0
    rows = await sql("SELECT key, body IS NULL AS emptied FROM webhook_inbox ORDER BY key")
    assert [(row["key"], row["emptied"]) for row in rows] == [("old", True), ("recent", False), ("unhandled", False)]


async def test_the_body_of_what_was_never_understood_goes_too_and_its_reason_stays(runtime: Runtime, sql: Sql) -> None:
    async with unit_of_work(runtime) as uow:
        for key in ("old", "recent", "waiting"):
            uow.session.add(InboxEntry(provider="twilio", kind="sms_inbound", key=key, body=b"Body=Hola"))
    refused = """UPDATE webhook_inbox SET attempts = 1, error = '{"code": "phone_missing", "message": "x"}'"""
    await sql(f"{refused} WHERE key <> 'waiting'")
    await sql("UPDATE webhook_inbox SET received_at = now() - interval '31 days' WHERE key <> 'recent'")
    assert (await Retention(runtime).sweep())["webhook_inbox_unhandled"] == 1
    rows = await sql("SELECT key, body IS NULL AS emptied, error ->> 'code' AS code FROM webhook_inbox ORDER BY key")
    assert [(row["key"], row["emptied"], row["code"]) for row in rows] == [
        ("old", True, "phone_missing"), ("recent", False, "phone_missing"), ("waiting", False, None),
    ]  # fmt: skip
