"""Calls a minute over several processes, and alone when Redis is away."""

from contactship_ai_worker.rate import RequestRate
from contactship_common.redis_edge import RedisEdge


async def test_processes_share_one_rate(redis_url: str) -> None:
    edges = [RedisEdge(redis_url), RedisEdge(redis_url)]
    first, second = (RequestRate(3, edge) for edge in edges)
    waits = [await first.take("openai"), await second.take("openai"), await first.take("openai")]
    assert waits == [0.0, 0.0, 0.0]
    assert 1 <= await second.take("openai") <= 66
    assert await second.take("gemini") == 0.0
    for edge in edges:
        await edge.close()


async def test_without_redis_each_process_counts_for_itself() -> None:
    edge = RedisEdge("redis://127.0.0.1:1/0")
    rate = RequestRate(2, edge)
    assert [await rate.take("openai") for _ in range(2)] == [0.0, 0.0]
    assert await rate.take("openai") >= 1
    await edge.close()


async def test_zero_means_no_limit() -> None:
    rate = RequestRate(0, None)
    assert {await rate.take("openai") for _ in range(1_000)} == {0.0}
