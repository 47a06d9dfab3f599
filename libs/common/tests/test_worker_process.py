"""A real worker process, killed, frozen, stopped and starved of Redis."""

import asyncio
import os
import signal
import statistics
import urllib.request
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import dramatiq
import pytest
from common_testkit import Engine, Plain, until, worker_script

from contactship_common.tasks.bell import message_for
from contactship_common.tasks.dispatcher import Dispatcher
from contactship_devstack.fork import fork_main
from contactship_devstack.polling import free_port
from contactship_devstack.valkey import ValkeyServer


class Worker:
    """One process. Its health port tells when it is ready."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self.port = free_port()
        self.log = log
        own = {"WORKER_HEALTH_PORT": str(self.port), "WORKER_HEALTH_HOST": "127.0.0.1"}
        self.process = fork_main(worker_script.main, os.environ | own | environment, log)

    def send(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    def get(self, path: str) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=2) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
        except OSError:
            return 0, b""

    async def ready(self) -> None:
        async def answers() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            return (await asyncio.to_thread(self.get, "/health/readiness"))[0] == 200

        await until(answers, "the worker", seconds=20)

    async def stopped(self, seconds: float = 20) -> int:
        return await asyncio.to_thread(self.process.wait, seconds)


@pytest.fixture
async def make_worker(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Callable[..., Worker]]:
    workers: list[Worker] = []

    def make(**environment: str) -> Worker:
        scaled = {"TASK_LEASE": "1", "TASK_RING_AGAIN": "0.5", "SHUTDOWN_GRACE": "5", "LOG_LEVEL": "WARNING"}
        urls = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
        workers.append(Worker(urls | scaled | environment, tmp_path / f"worker-{len(workers)}.log"))
        return workers[-1]

    yield make
    for worker in workers:
        if worker.process.poll() is None:
            worker.send(signal.SIGCONT)
            worker.send(signal.SIGKILL)
        worker.process.wait()


@pytest.fixture
async def engine(make_runtime: Any, sql: Any) -> AsyncIterator[Engine]:
    """An engine with a running dispatcher."""
    engine = Engine(await make_runtime(task_ring_again=0.5, task_lease=1, dispatcher_tick=0.05), sql)
    stop = asyncio.Event()
    running = asyncio.create_task(Dispatcher(engine.runtime).run(stop))
    yield engine
    stop.set()
    await running


async def finished(engine: Engine, *ids: Any, status: str = "succeeded", seconds: float = 20) -> None:
    async def all_done() -> bool:
        rows = await engine.sql("SELECT id FROM tasks WHERE id = ANY(%s) AND status = %s", list(ids), status)
        return len(rows) == len(ids)

    await until(all_done, f"{len(ids)} tasks to be {status}", seconds=seconds)


async def runs(engine: Engine, task_id: Any) -> int:
    return await engine.notes(f"ran:{task_id}")


async def running(engine: Engine, task_id: Any) -> None:
    async def begun() -> bool:
        return (await engine.row(task_id))["status"] == "running"

    await until(begun, "the task to run")


async def test_an_idle_worker_starts_soon_and_tells_its_health(engine: Engine, make_worker: Any) -> None:
    worker = make_worker(HEARTBEAT_INTERVAL="0.1")
    await worker.ready()
    waits = []
    for _ in range(30):
        task_id = await engine.enqueue(Plain())
        await finished(engine, task_id)
        [row] = await engine.sql(
            "SELECT extract(epoch FROM claimed_at - created_at)::float8 * 1000 AS ms FROM tasks WHERE id = %s", task_id
        )
        waits.append(row["ms"])
    print(f"from commit to claim: median {statistics.median(waits):.1f} ms, worst {max(waits):.1f} ms")
    assert statistics.median(waits) < 250
    status, body = await asyncio.to_thread(worker.get, "/health/liveness")
    assert (status, body) == (200, b'{"status":"ok"}')

    async def counted() -> bool:  # just after the commit that the client sees
        body = (await asyncio.to_thread(worker.get, "/metrics"))[1]
        return b'contactship_task_runs_total{kind="test.plain",outcome="succeeded"} 30.0' in body

    await until(counted, "the metrics of 30 runs")
    [beat] = await engine.sql("SELECT * FROM worker_heartbeats")
    assert (beat["kind"], beat["queue"], beat["threads"]) == ("sync_worker", "sync", 16)
    worker.send(signal.SIGTERM)
    assert await worker.stopped() == 0
    assert await engine.sql("SELECT 1 FROM worker_heartbeats") == []


async def test_sigterm_finishes_what_runs_and_takes_nothing_new(engine: Engine, make_worker: Any) -> None:
    worker = make_worker()
    await worker.ready()
    task_id = await engine.enqueue(Plain(name="sleep:1"))
    await running(engine, task_id)
    worker.send(signal.SIGTERM)

    async def draining() -> bool:
        return (await asyncio.to_thread(worker.get, "/health/readiness"))[0] == 503

    await until(draining, "the worker to say that it stops")
    late = await engine.enqueue(Plain())
    assert await worker.stopped() == 0
    row = await engine.row(task_id)
    assert (row["status"], row["run_no"]) == ("succeeded", 1)
    assert (await engine.row(late))["run_no"] == 0
    successor = make_worker()
    await successor.ready()
    await finished(engine, late)


async def test_sigterm_hands_back_what_does_not_finish_in_time(engine: Engine, make_worker: Any) -> None:
    worker = make_worker(SHUTDOWN_GRACE="0.1")
    await worker.ready()
    task_id = await engine.enqueue(Plain(name="sleep:60"))
    await running(engine, task_id)
    worker.send(signal.SIGTERM)
    assert await worker.stopped() == 0
    row = await engine.row(task_id)
    assert (row["status"], row["failures"], row["error"]["code"]) == ("queued", 0, "handed_back")


async def test_a_killed_worker_is_followed_by_another_when_its_lease_runs_out(engine: Engine, make_worker: Any) -> None:
    victim = make_worker()
    await victim.ready()
    ids = [await engine.enqueue(Plain(name="sleep:2")) for _ in range(5)]
    for task_id in ids:
        await running(engine, task_id)
    victim.send(signal.SIGKILL)
    await victim.stopped()
    await make_worker().ready()
    await finished(engine, *ids)
    for task_id in ids:
        row = await engine.row(task_id)
        assert (row["run_no"], row["failures"], await runs(engine, task_id)) == (2, 1, 1)


async def test_a_frozen_worker_that_thaws_after_its_lease_is_fenced(engine: Engine, make_worker: Any) -> None:
    frozen = make_worker()
    await frozen.ready()
    task_id = await engine.enqueue(Plain(name="sleep:1"))
    await running(engine, task_id)
    frozen.send(signal.SIGSTOP)
    other = make_worker()
    await other.ready()
    await finished(engine, task_id)
    before = await engine.row(task_id)
    frozen.send(signal.SIGCONT)

    async def noticed() -> bool:
        body = (await asyncio.to_thread(frozen.get, "/metrics"))[1]
        return b'outcome="overtaken"} 1.0' in body

    await until(noticed, "the thawed worker to notice")
    assert await engine.row(task_id) == before
    assert await runs(engine, task_id) == 1


async def test_the_same_message_five_times_runs_the_task_once(engine: Engine, make_worker: Any) -> None:
    worker = make_worker()
    await worker.ready()
    task_id = await engine.enqueue(Plain(name="sleep:0.2"))
    message: dramatiq.Message[None] = message_for("sync", task_id)
    for _ in range(5):
        await asyncio.to_thread(engine.runtime.broker.enqueue, message)
    await finished(engine, task_id)
    last = await engine.enqueue(Plain())
    await finished(engine, last)
    assert ((await engine.row(task_id))["run_no"], await runs(engine, task_id)) == (1, 1)


async def test_a_flushed_redis_loses_no_task(engine: Engine, make_worker: Any, valkey: ValkeyServer) -> None:
    worker = make_worker(WORKER_CONCURRENCY="4")
    await worker.ready()
    ids = [await engine.enqueue(Plain(name="sleep:0.05")) for _ in range(60)]
    await asyncio.to_thread(valkey.flush)
    await finished(engine, *ids)
    for task_id in ids:
        assert await runs(engine, task_id) == 1


async def test_a_redis_that_stops_and_starts_again_loses_no_task(
    engine: Engine, make_worker: Any, valkey: ValkeyServer
) -> None:
    worker = make_worker(WORKER_CONCURRENCY="4")
    await worker.ready()
    ids = [await engine.enqueue(Plain(name="sleep:0.05")) for _ in range(20)]
    await asyncio.to_thread(valkey.stop)
    ids += [await engine.enqueue(Plain()) for _ in range(20)]
    await asyncio.to_thread(valkey.start)
    await finished(engine, *ids)
    for task_id in ids:
        assert await runs(engine, task_id) == 1


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"DATABASE_URL": ""}, "DATABASE_URL"),
        ({"REDIS_URL": ""}, "REDIS_URL"),
        ({"TASK_LEASE": "soon"}, "TASK_LEASE"),
        ({"BROKER_URL": "carrier-pigeon://x"}, "BROKER_URL"),
        ({"BROKER_URL": "amqp://user:pa55word@host:no-port/"}, "BROKER_URL"),
        ({"WORKER_HEALTH_PORT": "taken"}, "WORKER_HEALTH_PORT"),
    ],
)
async def test_a_wrong_setting_is_one_clear_line_and_status_1(
    make_worker: Any, wrong: dict[str, str], told: str
) -> None:
    server = None
    if wrong.get("WORKER_HEALTH_PORT") == "taken":
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        wrong = {"WORKER_HEALTH_PORT": str(server.sockets[0].getsockname()[1])}
    worker = make_worker(**wrong)
    assert await worker.stopped() == 1
    if server is not None:
        server.close()
    lines = worker.log.read_text().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("contactship-sync-worker: ")
    assert told in lines[0]
    assert "pa55word" not in lines[0]
