"""Many sockets and a steady stream of messages: nothing is lost for whoever stays connected. `make bench` measures the
same at full size."""

import asyncio
import os

import psutil
import pytest
from system_testkit import SceneFactory

from contactship_common.db import plain_url
from contactship_devstack.socket_load import LoadResult, SocketLoad

pytestmark = pytest.mark.system


def p95(times: list[float]) -> float:
    return sorted(times)[int(0.95 * (len(times) - 1))]


def measure(
    make_scene: SceneFactory, *, agents: int, admins: int, rate: float, seconds: float
) -> tuple[LoadResult, int, float]:
    """The result, how many sockets the server closed, and by how many MiB its memory grew meanwhile."""
    stack = make_scene("api", "api").stack
    database_url = plain_url(stack.database_url)

    async def run() -> tuple[LoadResult, int, float]:
        load = SocketLoad(database_url, stack.api_urls, stack.env["JWT_SECRET"], agents=agents, admins=admins)
        apis = [psutil.Process(stack.process(name).pid) for name in stack.names]
        await load.run(rate=rate / 2, seconds=seconds / 4)  # warm: what is built once has been built
        before = sum(api.memory_info().rss for api in apis)
        result = await load.run(rate=rate, seconds=seconds)
        grown = (sum(api.memory_info().rss for api in apis) - before) / 2**20
        await load.close()
        return result, load.closed, grown

    result, closed, grown = asyncio.run(run())
    print(
        f"{result.sent} messages, {result.expected} deliveries, {result.lost} lost, {result.twice} twice, "
        f"refused {result.refused}; p95 {p95(result.deliveries_ms):.0f} ms; the API grew by {grown:.0f} MiB; "
        f"clients used {result.client_cpu:.2f} cores; load {os.getloadavg()[0]:.1f}"
    )
    assert "Traceback" not in stack.logs("api") + stack.logs("api-2")
    return result, closed, grown


def test_nothing_is_lost_with_a_hundred_sockets_on_two_processes(make_scene: SceneFactory) -> None:
    result, closed, _ = measure(make_scene, agents=95, admins=5, rate=40, seconds=4)
    assert (result.lost, result.twice, result.refused, closed) == (0, 0, {}, 0)
    assert result.expected == 160 * 6


@pytest.mark.chaos
def test_nothing_is_lost_with_a_thousand_sockets_and_the_memory_stays_flat(make_scene: SceneFactory) -> None:
    result, closed, grown = measure(make_scene, agents=990, admins=10, rate=200, seconds=60)
    assert (result.lost, result.twice, result.refused, closed) == (0, 0, {}, 0)
    assert grown < 40
    assert p95(result.deliveries_ms) < 250
