"""A gateway that is configured for every provider."""

import pytest
from api_testkit import MakeApi
from webhooks_testkit import Hooks


@pytest.fixture
async def hooks(make_api: MakeApi) -> Hooks:
    hooks = Hooks(await make_api())
    hooks.use()
    return hooks
