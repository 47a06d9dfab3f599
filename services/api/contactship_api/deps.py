"""Dependencies that endpoints ask for by type: the unit of work, a reading session, the gateway."""

from collections.abc import AsyncIterator
from typing import Annotated

import sqlalchemy as sa
from fastapi import Depends, Header, Request
from sqlalchemy.ext.asyncio import AsyncSession

from contactship_api.access.permissions import Principal
from contactship_api.gateway import Gateway
from contactship_api.http.idempotency import IdempotentRequest
from contactship_api.http.problems import from_database
from contactship_common.errors import ContactshipError
from contactship_common.uow import Context, UnitOfWork, unit_of_work

_LONGEST_USER_AGENT = 300


def gateway_of(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    return gateway


async def _the_gateway(request: Request) -> Gateway:
    """Async, because FastAPI calls what is not in a thread of its pool: dearer than most of what endpoints do."""
    return gateway_of(request)


def context_of(request: Request) -> Context:
    """On whose behalf the request acts."""
    principal: Principal | None = request.state.principal
    return Context(
        actor=principal.actor if principal else "anonymous",
        ip=request.scope["contactship.ip"],
        user_agent=request.headers.get("user-agent", "")[:_LONGEST_USER_AGENT] or None,
        request_id=request.scope["contactship.request_id"],
        traceparent=request.scope["contactship.traceparent"],
    )


async def _open_uow(request: Request) -> AsyncIterator[UnitOfWork]:
    """One transaction around the endpoint, committed after the answer is serialised and before it is sent."""
    async with unit_of_work(gateway_of(request).runtime, context_of(request)) as uow:
        yield uow


async def _open_idempotent_uow(
    request: Request,
    _key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            description="The same key and body within 24 hours gives the same answer, and the work is done once.",
            examples=["6d0f3c52-order-17"],
        ),
    ] = None,
) -> AsyncIterator[UnitOfWork]:
    """The same; with an Idempotency-Key the answer is stored in that transaction, or replayed from an earlier one."""
    uow = UnitOfWork(gateway_of(request).runtime, context_of(request))
    try:
        once = await IdempotentRequest.of(request, uow.context.actor)
        try:
            if once is not None:
                await once.begin(uow)
            yield uow
        except (ContactshipError, sa.exc.DBAPIError) as error:
            refusal = error if isinstance(error, ContactshipError) else from_database(error)
            if refusal is None or not refusal.keeps_effects:
                await uow.rollback()
            if once is not None and refusal is not None:
                await once.keep_refusal(uow, refusal)
            await uow.commit()
            raise
        except BaseException:
            await uow.rollback()
            raise
        if once is not None:
            await once.keep(uow)
        await uow.commit()
    finally:
        await uow.close()


async def _open_reading(request: Request) -> AsyncIterator[AsyncSession]:
    async with gateway_of(request).runtime.db.reading() as session:
        yield session


# scope="function": with FastAPI's default the commit would come after the answer was sent, and a failed commit would
# still have answered 200.
Uow = Annotated[UnitOfWork, Depends(_open_uow, scope="function")]
IdempotentUow = Annotated[UnitOfWork, Depends(_open_idempotent_uow, scope="function")]
Reading = Annotated[AsyncSession, Depends(_open_reading, scope="function")]
TheGateway = Annotated[Gateway, Depends(_the_gateway)]
