"""Read-through answers that never turn old again."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from contactship_common.cache import read_through
from contactship_common.redis_edge import RedisEdge
from contactship_devstack.valkey import ValkeyServer

KEY = "cs:test"


class Source:
    """The truth behind the cache; `gate` holds a reader between reading and answering."""

    def __init__(self) -> None:
        self.value: bytes | None = b"1"
        self.reads = 0
        self.gate: asyncio.Event | None = None
        self.reading = asyncio.Event()

    async def read(self) -> bytes | None:
        self.reads += 1
        seen = self.value
        self.reading.set()
        if self.gate is not None:
            await self.gate.wait()
        return seen


async def forget(redis: RedisEdge, key: str = KEY) -> None:
    assert await redis.attempt("test", lambda client: client.delete(key, f"{key}:fill")) is not None


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[RedisEdge]:
    edge = RedisEdge(redis_url)
    yield edge
    await edge.close()


async def test_the_second_reader_is_answered_from_the_cache(redis: RedisEdge) -> None:
    source = Source()
    assert await read_through(redis, KEY, 60, source.read) == (b"1", False)
    assert await read_through(redis, KEY, 60, source.read) == (b"1", True)
    assert source.reads == 1
    assert redis.client is not None
    assert 0 < await redis.client.ttl(KEY) <= 60


async def test_a_slow_reader_cannot_store_what_was_invalidated_meanwhile(redis: RedisEdge) -> None:
    source = Source()
    source.gate = asyncio.Event()
    slow = asyncio.create_task(read_through(redis, KEY, 60, source.read))
    await source.reading.wait()
    source.value = b"2"
    await forget(redis)
    source.gate.set()
    assert await slow == (b"1", False), "it began before the change, so it may tell what it saw"
    assert await read_through(redis, KEY, 60, source.read) == (b"2", False)
    assert await read_through(redis, KEY, 60, source.read) == (b"2", True)


async def test_a_slow_reader_cannot_overwrite_what_a_newer_one_stored(redis: RedisEdge) -> None:
    old, new = Source(), Source()
    old.gate, new.value = asyncio.Event(), b"2"
    slow = asyncio.create_task(read_through(redis, KEY, 60, old.read))
    await old.reading.wait()
    await forget(redis)
    assert await read_through(redis, KEY, 60, new.read) == (b"2", False)
    old.gate.set()
    await slow
    assert await read_through(redis, KEY, 60, new.read) == (b"2", True)


async def test_a_second_reader_waits_for_what_the_first_one_stores(redis: RedisEdge) -> None:
    source = Source()
    source.gate = asyncio.Event()
    first = asyncio.create_task(read_through(redis, KEY, 60, source.read))
    await source.reading.wait()
    others = [asyncio.create_task(read_through(redis, KEY, 60, source.read)) for _ in range(10)]
    asyncio.get_running_loop().call_later(0.03, source.gate.set)
    assert await first == (b"1", False)
    assert await asyncio.gather(*others) == [(b"1", True)] * 10
    assert source.reads == 1


async def test_a_second_reader_reads_for_itself_when_the_first_takes_too_long(redis: RedisEdge) -> None:
    slow, quick = Source(), Source()
    slow.gate = asyncio.Event()
    first = asyncio.create_task(read_through(redis, KEY, 60, slow.read))
    await slow.reading.wait()
    started = asyncio.get_running_loop().time()
    assert await read_through(redis, KEY, 60, quick.read) == (b"1", False)
    assert 0.09 < asyncio.get_running_loop().time() - started < 1.0
    slow.gate.set()
    await first


@pytest.mark.parametrize("error", [None, ValueError("bug")])
async def test_nobody_waits_for_a_reader_that_found_nothing(redis: RedisEdge, error: Exception | None) -> None:
    async def nothing() -> None:
        if error:
            raise error

    async def ask() -> Any:
        try:
            return await read_through(redis, KEY, 60, nothing)
        except ValueError:
            return None

    await ask()
    assert redis.client is not None
    assert await redis.client.exists(f"{KEY}:fill") == 0, "a token would make every further reader wait 100 ms"


async def test_without_a_ttl_nothing_is_stored(redis: RedisEdge) -> None:
    source = Source()
    for _ in range(2):
        assert await read_through(redis, KEY, 0, source.read) == (b"1", False)
    assert redis.client is not None
    assert await redis.client.dbsize() == 0


@pytest.mark.parametrize("fault", ["stopped", "frozen", "not configured"])
async def test_without_redis_every_read_goes_to_the_source(redis_url: str, valkey: ValkeyServer, fault: str) -> None:
    redis = RedisEdge("" if fault == "not configured" else redis_url)
    source = Source()
    await read_through(redis, KEY, 60, source.read)
    if fault == "stopped":
        await asyncio.to_thread(valkey.stop)
    elif fault == "frozen":
        valkey.freeze()
    source.value = b"2"
    started = asyncio.get_running_loop().time()
    if fault != "not configured":
        await redis.attempt("test", lambda client: client.ping())
    for _ in range(50):
        assert await read_through(redis, KEY, 60, source.read) == (b"2", False)
    assert asyncio.get_running_loop().time() - started < 1.0
    await redis.close()


async def test_more_calls_at_once_than_connections_are_no_outage(redis: RedisEdge) -> None:
    answers = await asyncio.gather(*(redis.attempt("test", lambda client: client.ping()) for _ in range(150)))
    assert all(answers)


async def test_no_reader_sees_an_old_value_once_its_invalidation_has_finished(redis_url: str) -> None:
    """10,000 reads and writes through three clients; a version is `announced` once its invalidation is done."""
    keys = [f"cs:{n}" for n in range(4)]
    truth = dict.fromkeys(keys, 0)
    announced = dict.fromkeys(keys, 0)
    dice = random.Random(7)
    edges = [RedisEdge(redis_url) for _ in range(3)]
    hits = 0

    async def source(key: str) -> bytes:
        seen = truth[key]
        for _ in range(dice.randrange(4)):  # others run between the look and the answer
            await asyncio.sleep(0)
        return str(seen).encode()

    async def client(redis: RedisEdge) -> None:
        nonlocal hits
        for _ in range(250):
            key = dice.choice(keys)
            if dice.random() < 0.1:
                truth[key] += 1
                version = truth[key]
                await forget(redis, key)
                announced[key] = max(announced[key], version)
            else:
                least = announced[key]
                value, hit = await read_through(redis, key, 60, lambda key=key: source(key))  # type: ignore[misc]
                hits += hit
                assert value is not None
                assert int(value) >= least

    await asyncio.gather(*(client(edges[n % 3]) for n in range(40)))
    assert hits > 1_000, "the cache was used"
    for edge in edges:
        await edge.close()
