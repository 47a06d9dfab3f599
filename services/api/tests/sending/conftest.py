"""Fixtures of the tests of sending."""

from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest
from api_testkit import Api

from contactship_common.contact_center import delivery_reports
from contactship_common.uow import unit_of_work

End = Callable[..., Awaitable[None]]


@pytest.fixture
async def end(api: Api) -> End:
    """Ends a delivery as the worker does: `await end(id)` as failed, `await end(id, lost=True)` as unknown."""

    async def do(
        delivery_id: str, *, lost: bool = False, code: str = "21610", message: str = "On the STOP list"
    ) -> None:
        async with unit_of_work(api.gateway.runtime) as uow:
            if lost:
                done = await delivery_reports.settle_unknown(uow, UUID(delivery_id))
            else:
                done = await delivery_reports.fail(uow, UUID(delivery_id), code, message)
            assert done

    return do
