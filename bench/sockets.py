"""A thousand connected people and 200 messages a second through the real API processes: REST call, PostgreSQL,
delivery to every right screen."""

import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil

from bench.kpis import production_like_server
from bench.report import Goal, Line, Options, Section
from contactship_common.migrate import upgrade
from contactship_devstack.guard import Guard
from contactship_devstack.socket_load import SocketLoad
from contactship_devstack.stack import Stack
from contactship_devstack.valkey import temporary_server as temporary_valkey

AGENTS, ADMINS, RATE, SECONDS = 990, 10, 200.0, 60.0
PROCESSES = 1


class _Usage:
    """Memory and processor time of some processes, looked at once a second."""

    def __init__(self, pids: list[int]) -> None:
        self._processes = [psutil.Process(pid) for pid in pids]
        self._stop = threading.Event()
        self.memory_mib: list[float] = []
        self._cpu = self._seconds()
        self._started = time.monotonic()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _seconds(self) -> float:
        return sum(sum(process.cpu_times()[:2]) for process in self._processes)

    def _watch(self) -> None:
        while not self._stop.wait(1.0):
            with suppress(psutil.NoSuchProcess):
                self.memory_mib.append(sum(process.memory_info().rss for process in self._processes) / 2**20)

    def stop(self) -> tuple[float, float]:
        """Cores used on average, and the processor time in seconds."""
        self._stop.set()
        self._thread.join()
        used = self._seconds() - self._cpu
        return used / (time.monotonic() - self._started), used


async def run(options: Options) -> Section:
    guard = Guard()
    with (
        production_like_server() as postgres,
        temporary_valkey(guard) as valkey,
        tempfile.TemporaryDirectory(prefix="contactship-bench-") as folder,
    ):
        url = postgres.create_database("contactship")
        upgrade(url)
        with Stack(database_url=url, redis_url=valkey.url, folder=Path(folder), guard=guard) as stack:
            stack.start(api=PROCESSES)
            load = SocketLoad(url, stack.api_urls, stack.env["JWT_SECRET"], agents=AGENTS, admins=ADMINS)
            connected_after = await load.connect()
            usage = _Usage([stack.process(name).pid for name in stack.names])
            result = await load.run(rate=RATE, seconds=SECONDS)
            cores, seconds = usage.stop()
            memory = usage.memory_mib
            await load.close()
    guard.close()
    quarter = max(1, len(memory) // 4)
    before, after = memory[quarter], memory[-1]
    delivered = Line("delivery, request to screen", result.deliveries_ms)
    return Section(
        f"{AGENTS + ADMINS:,} sockets, {RATE:.0f} messages a second",
        [
            f"{AGENTS} agents and {ADMINS} administrators on websockets, {PROCESSES} API process; agents answer over "
            f"REST for {SECONDS:.0f} s; every message goes to {ADMINS + 1} screens; PostgreSQL (fsync on), Valkey and "
            "the clients on the same machine. Times from the moment a message was due.",
        ],
        [delivered, Line("POST …/messages answered", result.answers_ms)],
        [
            f"{result.sent:,} messages, refused: {result.refused or 'none'}; {result.expected:,} deliveries: "
            f"{result.lost} lost, {result.twice} twice, "
            f"{load.closed} sockets closed. p95 {delivered.p95:.0f} ms; the promise is 250 ms.",
            f"The API used {cores:.2f} cores, {1_000 * seconds / result.sent:.1f} ms a message; the clients "
            f"{result.client_cpu:.2f}; they sent at most "
            f"{result.late_ms:.0f} ms late. Everybody was connected after {connected_after:.1f} s. Memory of "
            f"the API: {before:.0f} MiB after a quarter of the time, {after:.0f} MiB at the end.",
        ],
        goals=[
            Goal("delivery with 1,000 sockets, p95", delivered.p95, below=250, unit="ms"),
            Goal("deliveries lost or twice", result.lost + result.twice, below=1),
        ],
    )
