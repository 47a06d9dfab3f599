"""Fixtures of the delivery worker's tests. Helpers are in `delivery_testkit`, beside this file."""

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from delivery_testkit import SECRET, Deliveries  # needs the path above
from vendors.webhook_receiver import WebhookReceiver

from contactship_common.outbound.client import OutboundClient
from contactship_common.runtime import Runtime
from contactship_common.settings import AISettings, CoreSettings
from contactship_devstack.testing import Sql


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    """Answers 204 until a test says otherwise."""
    with WebhookReceiver() as server:
        yield server


@pytest.fixture
async def runtime(database_url: str, redis_url: str) -> AsyncIterator[Runtime]:
    core = CoreSettings(
        environment="test",
        database_url=database_url,
        redis_url=redis_url,
        task_backoff=0.01,
        callback_signing_secret=SECRET,
        outbound_allow_cidrs="127.0.0.1/32",
    )
    runtime = Runtime(core, AISettings(ai_providers=("local",)))
    await runtime.open()
    yield runtime
    await runtime.close()


@pytest.fixture
async def deliveries(runtime: Runtime, sql: Sql) -> AsyncIterator[Deliveries]:
    client = OutboundClient(allow=runtime.settings.outbound_networks, timeout_seconds=5)
    yield Deliveries(runtime, client, sql)
    await client.aclose()
