"""/users: accounts, for administrators."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Query, Response

from contactship_api.access.requires import Admin
from contactship_api.auth.schemas import UserOut
from contactship_api.deps import IdempotentUow, Reading, Uow
from contactship_api.http.paging import LimitSynonym, Page, Take, check_depth, rows_wanted
from contactship_api.http.problems import PageTooDeep
from contactship_api.http.route import api_router, raises
from contactship_api.http.schemas import PageMeta
from contactship_api.users import queries, service
from contactship_api.users.schemas import UserCreate, UserPage, UserUpdate
from contactship_common.accounts import create_account
from contactship_common.errors import EmailTaken, LastAdmin, UserNotFound
from contactship_common.models import Role

Sort = Literal["email", "-email", "name", "-name", "createdAt", "-createdAt"]

router = api_router(prefix="/users", tags=["users"])


@router.get("", response_model=UserPage)
@raises(PageTooDeep)
async def list_users(
    who: Admin,
    session: Reading,
    page: Page = 1,
    take: Take = None,
    limit: LimitSynonym = None,
    role: Role | None = None,
    active: bool | None = None,
    search: Annotated[str | None, Query(max_length=200, description="Part of e-mail or name.")] = None,
    sort: Annotated[Sort, Query(description="`-` for descending.")] = "email",
) -> UserPage:
    """All accounts, by e-mail unless `sort` says otherwise."""
    wanted = rows_wanted(take, limit)
    check_depth(page, wanted)
    rows, total = await queries.page(
        session, role=role, active=active, search=search, sort=sort, page=page, take=wanted
    )
    meta = PageMeta(total=total, page=page, take=wanted, total_pages=-(-total // wanted))
    return UserPage(data=[UserOut.model_validate(row) for row in rows], meta=meta)


@router.post("", status_code=201, response_model=UserOut)
@raises(EmailTaken)
async def create_user(body: UserCreate, who: Admin, uow: IdempotentUow, response: Response) -> UserOut:
    """Make an account."""
    user = await create_account(uow, email=body.email, password=body.password, name=body.name, role=body.role)
    response.headers["Location"] = f"/api/v1/users/{user.id}"
    return UserOut.model_validate(user)


@router.get("/{user_id}", response_model=UserOut)
@raises(UserNotFound)
async def get_user(user_id: UUID, who: Admin, session: Reading) -> UserOut:
    """One account."""
    user = await queries.find(session, user_id)
    if user is None:
        raise UserNotFound
    return UserOut.model_validate(user)


@router.patch("/{user_id}", response_model=UserOut)
@raises(UserNotFound, LastAdmin)
async def update_user(user_id: UUID, body: UserUpdate, who: Admin, uow: Uow) -> UserOut:
    """Rename, change the role, deactivate. A lost role or account is in force everywhere within 30 s."""
    return UserOut.model_validate(await service.update(uow, user_id, body))
