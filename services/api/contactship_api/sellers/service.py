"""Creating, changing, replacing and deleting sellers."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from contactship_api.access.permissions import Principal
from contactship_api.http.conditional import check_match, etag_of, version_at
from contactship_api.sellers import queries
from contactship_api.sellers.schemas import SellerFull, SellerOut
from contactship_common.clients import contact_search_text
from contactship_common.errors import SellerEmailTaken, SellerHasMeetings, SellerNotFound, SellerUserUnknown
from contactship_common.models import Meeting, Seller, User
from contactship_common.models.base import new_id
from contactship_common.uow import UnitOfWork


async def create(uow: UnitOfWork, who: Principal, body: SellerFull) -> SellerOut:
    """
    Raises:
        SellerEmailTaken: another seller has this e-mail; names their id.
        SellerUserUnknown
    """
    await _check_user(uow, body.user_id)
    seller_id = new_id()
    row = insert(Seller).values(id=seller_id, **body.model_dump(), **_derived(body))
    made = await uow.session.execute(row.on_conflict_do_nothing(index_elements=["email"]).returning(col(Seller.id)))
    if made.first() is None:
        holder = await _holder(uow, body.email)
        # Whoever held it a moment ago may have gone: then the client may simply try again.
        raise SellerEmailTaken(sellerId=str(holder)) if holder else SellerEmailTaken()
    uow.audit("seller.create", "seller", seller_id)
    return await _shown(uow, who, seller_id)


async def update(
    uow: UnitOfWork, who: Principal, seller_id: UUID, given: dict[str, Any], if_match: str | None
) -> SellerOut:
    """Set these fields (for PUT, all of them). The seller as they are afterwards; nothing new, nothing changed.

    Raises:
        SellerNotFound, SellerEmailTaken, SellerUserUnknown
        PreconditionFailed: `If-Match` names another state.
    """
    seller = await _lock(uow, seller_id, if_match)
    changed = {name for name, value in given.items() if getattr(seller, name) != value}
    if not changed:
        return SellerOut.model_validate(seller)
    if "user_id" in changed:
        await _check_user(uow, given["user_id"])
    if "email" in changed and (holder := await _holder(uow, given["email"])):
        raise SellerEmailTaken(sellerId=str(holder))
    for name in changed:
        setattr(seller, name, given[name])
    for name, value in _derived(seller).items():
        setattr(seller, name, value)
    now: Any = sa.func.clock_timestamp()
    seller.updated_at = now
    uow.audit("seller.update", "seller", seller_id, fields=sorted(changed))
    return await _shown(uow, who, seller_id)


async def delete(uow: UnitOfWork, seller_id: UUID, if_match: str | None) -> None:
    """
    Raises:
        SellerNotFound
        SellerHasMeetings: says how many.
        PreconditionFailed: `If-Match` names another state.
    """
    await _lock(uow, seller_id, if_match)
    # No meeting can be added meanwhile: it would have to share the seller's lock.
    counted = sa.select(sa.func.count()).select_from(Meeting).where(col(Meeting.seller_id) == seller_id)
    if meetings := int((await uow.session.execute(counted)).scalar_one()):
        raise SellerHasMeetings(meetings=meetings)
    await uow.session.execute(sa.delete(Seller).where(col(Seller.id) == seller_id))
    uow.audit("seller.delete", "seller", seller_id)


def _derived(seller: Seller | SellerFull) -> dict[str, Any]:
    """Columns that follow from the others."""
    return {
        "search_text": contact_search_text(seller.name, seller.email, seller.phone),
        "name_sort": seller.name.lower(),
    }


async def _check_user(uow: UnitOfWork, user_id: UUID | None) -> None:
    if user_id is None:
        return
    statement = sa.select(col(User.id)).where(col(User.id) == user_id)
    if (await uow.session.execute(statement)).first() is None:
        raise SellerUserUnknown


async def _lock(uow: UnitOfWork, seller_id: UUID, if_match: str | None) -> Seller:
    seller = await uow.session.get(Seller, seller_id, with_for_update=True)
    if seller is None:
        raise SellerNotFound
    out = SellerOut.model_validate(seller)
    check_match(if_match, etag_of(version_at(out.updated_at), out.json_bytes()))
    return seller


async def _shown(uow: UnitOfWork, who: Principal, seller_id: UUID) -> SellerOut:
    await uow.session.flush()
    uow.session.expire_all()
    found = await queries.find(uow.session, who, seller_id)
    if found is None:
        raise SellerNotFound
    return SellerOut.model_validate(found)


async def _holder(uow: UnitOfWork, email: str) -> UUID | None:
    holding = sa.select(col(Seller.id)).where(col(Seller.email) == email)
    return (await uow.session.execute(holding)).scalar_one_or_none()
