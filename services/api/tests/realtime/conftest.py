"""Fixtures of the tests of Socket.IO; those of the gateway are in the folder above.

serve   the application on a port of its own: `live = await serve(socket_sweep_seconds=0.5)`
live    the same with the default settings
"""

import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from api_testkit import MakeApi

sys.path.insert(0, str(Path(__file__).parent))

from socket_testkit import Live, Serve, serving  # needs the path above


@pytest.fixture
async def serve(make_api: MakeApi) -> AsyncIterator[Serve]:
    async with AsyncExitStack() as stack:

        async def start(**settings: Any) -> Live:
            api = await make_api(**settings)
            url = await stack.enter_async_context(serving(api))
            return Live(api, url, stack)

        yield start


@pytest.fixture
async def live(serve: Serve) -> Live:
    return await serve()
