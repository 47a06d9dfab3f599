"""Fixtures of the tests of sending messages and codes. Helpers are in `sending_testkit`, beside this file."""

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from sending_testkit import Sendings  # needs the path above
from vendors.builderbot_server import BuilderBotServer
from vendors.twilio_server import TwilioServer

from contactship_common.runtime import Runtime
from contactship_devstack.testing import Sql


@pytest.fixture
def twilio() -> Iterator[TwilioServer]:
    with TwilioServer() as server:
        yield server


@pytest.fixture
def builderbot() -> Iterator[BuilderBotServer]:
    with BuilderBotServer() as server:
        yield server


@pytest.fixture
async def sendings(
    runtime: Runtime, sql: Sql, twilio: TwilioServer, builderbot: BuilderBotServer
) -> AsyncIterator[Sendings]:
    kit = Sendings(runtime, sql, twilio.settings | builderbot.settings)
    yield kit
    await kit.aclose()
