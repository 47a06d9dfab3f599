"""Measurements of logins at full strength, on a real process: `make chaos`, or pytest -m chaos -s on this file."""

import asyncio
import statistics
import time

import httpx
import psutil
import pytest

from contactship_devstack.machine_speed import slowness
from contactship_devstack.testing import StackFactory

EMAIL, PASSWORD = "somebody@example.com", "correct horse battery"
TRIES = 200
LIMITS = {"LOGIN_LIMIT_PER_ADDRESS": "100000", "LOGIN_LIMIT_PER_ACCOUNT": "100000"}


async def seconds_of(client: httpx.AsyncClient, email: str, password: str, status: int) -> float:
    started = time.perf_counter()
    answer = await client.post("/api/v1/auth/login", json={"email": email, "password": password})
    assert answer.status_code == status, answer.text
    return time.perf_counter() - started


async def make_account(client: httpx.AsyncClient, key: str) -> None:
    body = {"email": EMAIL, "password": PASSWORD}
    answer = await client.post("/api/v1/users", json=body, headers={"x-api-key": key})
    assert answer.status_code == 201, answer.text


@pytest.mark.chaos
@pytest.mark.timeout(300)
async def test_a_known_and_an_unknown_address_are_refused_in_the_same_time(make_stack: StackFactory) -> None:
    stack = make_stack("api", env=LIMITS)
    async with httpx.AsyncClient(base_url=stack.api_url, timeout=30) as client:
        await make_account(client, stack.api_key)
        known: list[float] = []
        unknown: list[float] = []
        for n in range(TRIES):
            # In pairs, and each pair in the other order: what else the machine does meets both alike.
            for times, email in [(known, EMAIL), (unknown, f"nobody-{n:03}@example.com")][:: 1 if n % 2 else -1]:
                times.append(await seconds_of(client, email, "wrong", 401))
    one, other = statistics.median(known), statistics.median(unknown)
    print(f"\nmedian of {TRIES}: known {one * 1000:.1f} ms, unknown {other * 1000:.1f} ms, ratio {other / one:.3f}")
    assert abs(one - other) / max(one, other) < 0.10


@pytest.mark.chaos
@pytest.mark.timeout(300)
async def test_twenty_logins_at_once_keep_memory_bounded_and_others_answered(make_stack: StackFactory) -> None:
    slow = slowness()
    stack = make_stack("api", env=LIMITS)
    process = psutil.Process(stack.process("api").pid)
    async with httpx.AsyncClient(base_url=stack.api_url, timeout=60) as client:
        await make_account(client, stack.api_key)
        await seconds_of(client, EMAIL, PASSWORD, 200)
        before = peak = process.memory_info().rss
        waits: list[float] = []
        started = time.perf_counter()
        logins = asyncio.gather(*(seconds_of(client, EMAIL, PASSWORD, 200) for _ in range(20)))
        while not logins.done():
            asked = time.perf_counter()
            answer = await client.get("/api/v1/leads", headers={"x-api-key": stack.api_key})
            waits.append(time.perf_counter() - asked)
            assert answer.status_code == 200
            peak = max(peak, process.memory_info().rss)
        took = time.perf_counter() - started
        times = await logins
    ordered = sorted(waits)
    print(
        f"\n20 logins at once: {took:.2f} s in all, the slowest {max(times):.2f} s; memory {before / 2**20:.0f} MiB, at most "
        f"{peak / 2**20:.0f} MiB; {len(waits)} other requests meanwhile: median {statistics.median(waits) * 1000:.1f} ms, "
        f"95 % {ordered[int(len(ordered) * 0.95)] * 1000:.1f} ms, worst {ordered[-1] * 1000:.1f} ms"
    )
    assert peak - before < 64 * 2**20 * (psutil.cpu_count() or 1)
    assert ordered[int(len(ordered) * 0.95)] < 0.050 * max(slow, slowness())
