"""Sellers of seeded meetings: a file gives their name and nothing else."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from contactship_common.clients import contact_search_text
from contactship_common.lead_csv.headers import plain
from contactship_common.models import Seller
from contactship_common.models.base import new_id
from contactship_common.uow import UnitOfWork

_DOMAIN = "example.com"
_NOT_IN_ADDRESSES = re.compile(r"[^a-z0-9]+")
_LONGEST_LOCAL_PART = 64


def seller_email(name: str) -> str:
    """The address of a seller who has only a name: `José Pérez` is `jose.perez@example.com`, always."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    local = _NOT_IN_ADDRESSES.sub(".", ascii_name).strip(".")
    if not local or len(local) > _LONGEST_LOCAL_PART or plain(name) != local.replace(".", ""):
        local = f"seller.{hashlib.sha256((plain(name) or name).encode()).hexdigest()[:16]}"
    return f"{local}@{_DOMAIN}"


async def sellers_by_name(uow: UnitOfWork, names: Iterable[str]) -> tuple[dict[str, UUID], int]:
    """The id of each seller by the plain form of their name (see `plain`), and how many had to be made. Of several
    with one name it is the one who was there first."""
    wanted = {plain(name) or name: name for name in sorted(names, reverse=True)}
    known = await _known(uow)
    values = [
        {
            "id": new_id(),
            "name": name,
            "email": seller_email(name),
            "active": True,
            "search_text": contact_search_text(name, seller_email(name), None),
            "name_sort": name.lower(),
        }
        for key, name in wanted.items()
        if key not in known
    ]
    if not values:
        return known, 0
    values.sort(key=lambda value: str(value["email"]))
    statement = insert(Seller).on_conflict_do_nothing(index_elements=["email"]).returning(col(Seller.id))
    made = len((await uow.session.execute(statement, values)).scalars().all())
    by_email = sa.select(col(Seller.email), col(Seller.id)).where(col(Seller.email).in_([v["email"] for v in values]))
    ids = {row.email: row.id for row in await uow.session.execute(by_email)}
    return known | {plain(str(v["name"])) or str(v["name"]): ids[str(v["email"])] for v in values}, made


async def _known(uow: UnitOfWork) -> dict[str, UUID]:
    """Compared here and not in SQL: names are the same without accents and case. A company has few sellers."""
    statement = sa.select(col(Seller.id), col(Seller.name)).order_by(col(Seller.id).desc())
    return {plain(name) or name: seller_id for seller_id, name in await uow.session.execute(statement)}
