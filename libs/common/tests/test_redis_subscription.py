"""A subscription at the end of the process."""

import asyncio
from typing import Any

import pytest
import redis.asyncio as aioredis
from common_testkit import until

from contactship_common import redis_subscription
from contactship_common.redis_subscription import Subscription


async def test_a_listener_that_cleans_up_is_left_to_it(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_subscription, "_CANCEL_AGAIN_SECONDS", 0)
    leave, left = aioredis.Redis.aclose, asyncio.Event()
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow_leave(self: Any, close_connection_pool: bool | None = None) -> None:
        begun.set()
        await go_on.wait()
        await leave(self, close_connection_pool)
        left.set()

    monkeypatch.setattr(aioredis.Redis, "aclose", slow_leave)
    subscription = Subscription(redis_url, "cs:test", lambda data: None)
    await subscription.open()
    await until(lambda: subscription.connected, "the subscription")
    closing = asyncio.create_task(subscription.close())
    await begun.wait()
    for _ in range(100):  # turns of the loop, in each of which close may lose its patience
        await asyncio.sleep(0)
    go_on.set()
    await closing
    assert left.is_set()
