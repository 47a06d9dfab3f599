"""What events say: `data` of each kind, as an administrator sees the same thing over the API.

Phones, e-mails and texts are clear: endpoints belong to whoever may see them. Codes and secrets are never among it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from pydantic.alias_generators import to_camel
from sqlmodel import col

from contactship_common.classification.categories import Category
from contactship_common.models import Lead, Meeting, MeetingClassification, Person, SyncJob
from contactship_common.outbound import events
from contactship_common.uow import UnitOfWork

_PERSON = ("id", "first_name", "last_name", "phone", "phone_e164", "date_of_birth", "nationality", "gender",
           "picture_url")  # fmt: skip
_ADDRESS = ("street", "city", "state", "postcode", "country")
_LEAD = ("id", "person_id", "email", "external_id", "source", "status", "owner_id", "summary", "next_action",
         "summary_generated_at", "synced_at", "created_at", "updated_at")  # fmt: skip
_SYNC = ("source", "status", "batch_size", "records_processed", "records_created", "records_skipped",
         "records_failed", "errors", "requested_by", "scheduled_for", "started_at", "completed_at",
         "created_at")  # fmt: skip
_CLASSIFICATION = (
    "meeting_id", "urgency", "language", "lost_client_bad_meeting", "sentiment", "key_topics", "action_items",
    "next_steps", "summary", "corrected_fields", "provider", "model_used", "prompt_version", "processed_at",
    "processing_time_ms",
)  # fmt: skip


async def publish_lead(uow: UnitOfWork, event_type: str, lead_id: UUID, **more: Any) -> None:
    """Tell of the lead as it is now in this transaction; `more` stands beside it. Reads it only if somebody hears."""

    async def read() -> dict[str, Any] | None:
        await uow.session.flush()
        statement = sa.select(Lead, Person).join(Person, col(Person.id) == col(Lead.person_id))
        mine = statement.where(col(Lead.id) == lead_id).execution_options(populate_existing=True)
        row = (await uow.session.execute(mine)).first()
        return {"leadId": lead_id, "lead": _lead(*row), **more} if row else None

    await events.publish(uow, event_type, read)


async def publish_sync(uow: UnitOfWork, job_id: UUID) -> None:
    """Tell that the run has ended, as `completed` or `failed`. Its new status is written already, or waits in the
    session."""

    async def read() -> dict[str, Any] | None:
        await uow.session.flush()
        job = await uow.session.get(SyncJob, job_id, populate_existing=True)
        return {"jobId": job.id, **_fields(job, _SYNC)} if job else None

    await events.publish(uow, "sync.completed", read)


def classification(row: MeetingClassification, meeting: Meeting, categories: Sequence[Category]) -> dict[str, Any]:
    """A classification with its meeting. The row's times have been read."""
    labels = {each.name: row.labels.get(each.name) for each in categories}
    allowed = {each.name: each.values for each in categories}
    return {
        **{name: label if label in allowed[name] else None for name, label in labels.items()},
        **_fields(row, _CLASSIFICATION),
        "clientId": meeting.client_id,
        "sellerId": meeting.seller_id,
        "meetingAt": utc(meeting.meeting_at),
        "confidenceScore": float(row.confidence_score),
        "outdated": row.transcript_at != meeting.transcript_changed_at,
    }


def utc(value: Any) -> Any:
    """Times in UTC, everything else as it is."""
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def _lead(lead: Lead, person: Person) -> dict[str, Any]:
    address = person.address
    return {
        **_fields(lead, _LEAD),
        "name": f"{person.first_name} {person.last_name}".strip(),
        "metadata": lead.meta,
        "person": {
            **_fields(person, _PERSON),
            "address": {name: address.get(name) for name in _ADDRESS} if address else None,
        },
    }


def _fields(row: Any, names: Sequence[str]) -> dict[str, Any]:
    return {_ALIAS.get(name) or to_camel(name): utc(getattr(row, name)) for name in names}


_ALIAS = {"phone_e164": "phoneE164"}
