"""Creating, changing, closing and deleting meetings."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from contactship_api.access.permissions import Principal
from contactship_api.http.conditional import check_match, etag_of, version_at
from contactship_api.meetings import queries
from contactship_api.meetings.schemas import MeetingCreate, MeetingOut, MeetingUpdate
from contactship_common.clients import touch_leads_of_clients
from contactship_common.errors import ClientUnknown, MeetingNotFound, SellerInactive, SellerUnknown
from contactship_common.models import Client, Meeting, MeetingStatus, Seller
from contactship_common.models.base import new_id
from contactship_common.outbound import callbacks
from contactship_common.tasks import store
from contactship_common.uow import UnitOfWork

_TOLD_TO_MODELS = frozenset({"client_id", "meeting_at", "transcript"})
"""What a lead's summary is made from; see the facts of a lead's summary."""


async def create(uow: UnitOfWork, who: Principal, body: MeetingCreate) -> MeetingOut:
    """
    Raises:
        ClientUnknown, SellerUnknown, SellerInactive
    """
    if not await _hold_client(uow, body.client_id):
        raise ClientUnknown
    await _hold_seller(uow, body.seller_id)
    status = body.status or (MeetingStatus.CLOSED if body.closed else MeetingStatus.OPEN)
    meeting = Meeting(
        id=new_id(),
        client_id=body.client_id,
        seller_id=body.seller_id,
        meeting_at=body.meeting_at,
        duration_minutes=body.duration_minutes,
        status=status,
        transcript=body.transcript,
        transcript_changed_at=_now() if body.transcript is not None else None,
    )
    uow.session.add(meeting)
    await uow.session.flush()
    if body.transcript is not None:
        await touch_leads_of_clients(uow, [body.client_id])
    uow.audit("meeting.create", "meeting", meeting.id)
    return await _shown(uow, who, meeting.id)


async def update(
    uow: UnitOfWork, who: Principal, meeting_id: UUID, body: MeetingUpdate, if_match: str | None
) -> MeetingOut:
    """The meeting as it is afterwards. Nothing new, nothing changed: the ETag stays, and the same transcript again is
    no new transcript.

    Raises:
        MeetingNotFound, ClientUnknown, SellerUnknown, SellerInactive
        PreconditionFailed: `If-Match` names another state.
    """
    # The client before the meeting, as whoever deletes a client with their meetings does: they take turns.
    client_held = body.client_id is None or await _hold_client(uow, body.client_id)
    meeting = await _lock(uow, who, meeting_id, if_match)
    if not client_held:
        raise ClientUnknown
    given = body.model_dump(exclude_unset=True)
    closed = given.pop("closed", None)
    if "status" not in given and closed is not None:
        given["status"] = _status_after(meeting.status, closed=closed)
    changed = {name for name, value in given.items() if getattr(meeting, name) != value}
    if not changed:
        return await _shown(uow, who, meeting_id)
    if "seller_id" in changed:
        await _hold_seller(uow, given["seller_id"])
    clients = {meeting.client_id, given.get("client_id", meeting.client_id)}
    for name in changed:
        setattr(meeting, name, given[name])
    if "transcript" in changed:
        meeting.transcript_changed_at = _now()
    meeting.updated_at = _now()
    await uow.session.flush()
    if changed & _TOLD_TO_MODELS:
        await touch_leads_of_clients(uow, clients)
    uow.audit("meeting.update", "meeting", meeting_id, fields=sorted(changed))
    return await _shown(uow, who, meeting_id)


async def close(uow: UnitOfWork, who: Principal, meeting_id: UUID, if_match: str | None) -> MeetingOut:
    """The closed meeting; one that is closed already stays as it is.

    Raises:
        MeetingNotFound
        PreconditionFailed: `If-Match` names another state.
    """
    return await update(uow, who, meeting_id, MeetingUpdate(status=MeetingStatus.CLOSED), if_match)


async def delete(uow: UnitOfWork, who: Principal, meeting_id: UUID, if_match: str | None) -> None:
    """The meeting goes with its classifications, and what is queued about it is cancelled.

    Raises:
        MeetingNotFound
        PreconditionFailed: `If-Match` names another state.
    """
    meeting = await _lock(uow, who, meeting_id, if_match)
    cancelled = await store.cancel_of_subject(uow.session, meeting_id)
    uow.task_ended(*cancelled)
    await callbacks.publish(uow, cancelled)
    await uow.session.execute(sa.delete(Meeting).where(col(Meeting.id) == meeting_id))
    await touch_leads_of_clients(uow, [meeting.client_id])
    uow.audit("meeting.delete", "meeting", meeting_id)


def _status_after(before: str, *, closed: bool) -> str:
    if closed:
        return MeetingStatus.CLOSED
    return MeetingStatus.OPEN if before == MeetingStatus.CLOSED else before


def _now() -> Any:
    """The database's clock at the moment of the write: the row is locked, so later writes have later times."""
    return sa.func.clock_timestamp()


async def _lock(uow: UnitOfWork, who: Principal, meeting_id: UUID, if_match: str | None) -> Meeting:
    meeting = await uow.session.get(Meeting, meeting_id, with_for_update=True)
    if meeting is None:
        raise MeetingNotFound
    if if_match is not None:
        out = await _shown(uow, who, meeting_id)
        check_match(if_match, etag_of(version_at(out.updated_at), out.json_bytes()))
    return meeting


async def _hold_client(uow: UnitOfWork, client_id: UUID) -> bool:
    """Whether the client is there; then they stay until this transaction ends."""
    held = sa.select(col(Client.id)).where(col(Client.id) == client_id).with_for_update(read=True, key_share=True)
    return (await uow.session.execute(held)).first() is not None


async def _hold_seller(uow: UnitOfWork, seller_id: UUID) -> None:
    """The seller is there, active, and stays so until this transaction ends."""
    held = sa.select(col(Seller.active)).where(col(Seller.id) == seller_id).with_for_update(read=True)
    active = (await uow.session.execute(held)).scalar_one_or_none()
    if active is None:
        raise SellerUnknown
    if not active:
        raise SellerInactive


async def _shown(uow: UnitOfWork, who: Principal, meeting_id: UUID) -> MeetingOut:
    found = await queries.find(uow.session, who, meeting_id)
    if found is None:
        raise MeetingNotFound
    return found
