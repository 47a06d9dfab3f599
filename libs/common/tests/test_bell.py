"""One ring stands for many tasks of a kind that is handled together."""

import asyncio
from typing import Any
from uuid import uuid4

from common_testkit import Engine, until

from contactship_common.tasks.broker import messages_waiting


async def test_many_of_a_kind_are_rung_a_few_times_and_the_last_is_not_forgotten(engine: Engine) -> None:
    async def rung() -> int:
        return await asyncio.to_thread(messages_waiting, engine.runtime.broker, "sync")

    async def first() -> bool:
        return await rung() == 1

    bell = engine.runtime.bell
    bell.ring("sync", uuid4(), "test.together")
    await until(first, "the first ring at once")
    for _ in range(5_000):
        bell.ring("sync", uuid4(), "test.together")

    async def another() -> bool:
        return await rung() >= 2

    await until(another, "a ring for those who came meanwhile")
    assert await rung() <= 20, "however many come, one ring in 100 ms stands for them"


async def test_others_are_rung_one_by_one_meanwhile(engine: Engine, sql: Any) -> None:
    for _ in range(20):
        engine.runtime.bell.ring("sync", uuid4(), "test.together")
        engine.runtime.bell.ring("sync", uuid4())

    async def all_of_them() -> bool:
        return await asyncio.to_thread(messages_waiting, engine.runtime.broker, "sync") >= 21

    await until(all_of_them, "20 rings of their own and one for the others")
