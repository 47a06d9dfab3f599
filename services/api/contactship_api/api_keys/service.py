"""Keys for machines."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from contactship_api.access.permissions import Principal, Scope
from contactship_common.api_keys import as_text, hash_secret, make_key
from contactship_common.errors import ApiKeyNotFound
from contactship_common.models import ApiKey
from contactship_common.models.base import new_id
from contactship_common.settings import ApiSettings
from contactship_common.uow import UnitOfWork


async def create(
    uow: UnitOfWork,
    settings: ApiSettings,
    who: Principal,
    *,
    name: str,
    scopes: list[Scope],
    expires_at: datetime | None,
) -> tuple[ApiKey, str]:
    """The new key's row, and the text that opens the door: nobody can read it again."""
    key = make_key(new_id())
    row = ApiKey(
        id=key.id,
        name=name,
        secret_hash=hash_secret(settings, key.secret),
        scopes=sorted(set(scopes)),
        created_by=who.id if who.kind == "user" else None,
        expires_at=expires_at,
    )
    uow.session.add(row)
    await uow.session.flush()
    await uow.session.refresh(row)
    uow.audit("api_key.create", "api_key", row.id, scopes=row.scopes)
    return row, as_text(key)


async def delete(uow: UnitOfWork, key_id: UUID) -> None:
    """
    Raises:
        ApiKeyNotFound
    """
    gone = await uow.session.execute(sa.delete(ApiKey).where(col(ApiKey.id) == key_id).returning(col(ApiKey.id)))
    if gone.first() is None:
        raise ApiKeyNotFound
    uow.audit("api_key.delete", "api_key", key_id)
