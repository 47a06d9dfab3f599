"""The process's Redis client at the end of the process."""

import asyncio
from typing import Any

import redis
import redis.exceptions
from common_testkit import until

from contactship_common.models.base import new_id
from contactship_common.redis_edge import RedisEdge
from contactship_common.runtime import Runtime
from contactship_common.settings import CoreSettings


def connected(url: str) -> int:
    """Clients that Redis has, without the one that asks."""
    with redis.Redis.from_url(url) as client:
        return len(client.client_list()) - 1


async def ping(client: Any) -> bool:
    return bool(await client.ping())


async def test_it_closes_when_the_calls_under_way_have_ended_and_takes_no_more(redis_url: str) -> None:
    edge, before = RedisEdge(redis_url), connected(redis_url)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(client: Any) -> bool:
        begun.set()
        await go_on.wait()
        return await ping(client)

    call = asyncio.create_task(edge.attempt("test", slow))
    await begun.wait()
    closing = asyncio.create_task(edge.close())
    await until(lambda: edge.away, "the end to begin")
    assert await edge.attempt("test", ping) is None
    assert not closing.done()
    go_on.set()
    assert await call is True
    await closing
    await until(lambda: asyncio.to_thread(lambda: connected(redis_url) == before), "its connections to be closed")


async def test_a_redis_that_cannot_be_left_keeps_nothing_else_open(database_url: str, redis_url: str) -> None:
    runtime = Runtime(CoreSettings(database_url=database_url, redis_url=redis_url))
    await runtime.open()
    assert await runtime.redis.attempt("test", ping)
    client = runtime.redis.client
    assert client is not None
    leave = client.aclose

    async def hang_up_late(close_connection_pool: bool | None = None) -> None:
        await leave(close_connection_pool)
        raise redis.exceptions.TimeoutError("Timed out closing connection")

    client.aclose = hang_up_late  # type: ignore[method-assign]
    await runtime.close()
    assert runtime.db.fast.closed


async def test_a_process_that_has_ended_has_no_connection_left(database_url: str, redis_url: str) -> None:
    before = connected(redis_url)
    runtime = Runtime(CoreSettings(database_url=database_url, redis_url=redis_url))
    await runtime.open()
    assert await runtime.redis.attempt("test", ping)
    runtime.bell.ring("ai", new_id())
    await runtime.close()
    await until(lambda: asyncio.to_thread(lambda: connected(redis_url) == before), "its connections to be closed")
