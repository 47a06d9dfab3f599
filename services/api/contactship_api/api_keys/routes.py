"""/api-keys: credentials of machines, for administrators."""

from uuid import UUID

import sqlalchemy as sa
from fastapi import Response
from sqlmodel import col

from contactship_api.access.requires import Admin
from contactship_api.api_keys import service
from contactship_api.api_keys.schemas import ApiKeyCreate, ApiKeyList, ApiKeyMade, ApiKeyOut
from contactship_api.deps import Reading, TheGateway, Uow
from contactship_api.http.route import api_router, raises
from contactship_common.errors import ApiKeyNotFound
from contactship_common.models import ApiKey

router = api_router(prefix="/api-keys", tags=["api keys"])


@router.get("", response_model=ApiKeyList)
async def list_api_keys(who: Admin, session: Reading) -> ApiKeyList:
    """All keys, newest first, without their secrets."""
    rows = (await session.execute(sa.select(ApiKey).order_by(col(ApiKey.id).desc()))).scalars()
    return ApiKeyList(data=[ApiKeyOut.model_validate(row) for row in rows])


@router.post("", status_code=201, response_model=ApiKeyMade)
async def create_api_key(body: ApiKeyCreate, who: Admin, uow: Uow, gateway: TheGateway) -> ApiKeyMade:
    """Make a key with exactly these scopes. Its secret is in this answer and nowhere else."""
    row, text = await service.create(
        uow, gateway.settings, who, name=body.name, scopes=body.scopes, expires_at=body.expires_at
    )
    return ApiKeyMade.model_validate({**ApiKeyOut.model_validate(row).model_dump(), "key": text})


@router.delete("/{key_id}", status_code=204)
@raises(ApiKeyNotFound)
async def delete_api_key(key_id: UUID, who: Admin, uow: Uow) -> Response:
    """Take a key back; in force everywhere within 30 s."""
    await service.delete(uow, key_id)
    return Response(status_code=204)
