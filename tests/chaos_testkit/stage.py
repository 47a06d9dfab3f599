"""The whole system with its vendors, and one window of load around one fault."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
import psycopg
from system_testkit import FAST, SHORT_LEASE, Scene
from system_testkit.feeds import sources
from vendors.messaging import Say
from vendors.openai_server import OpenAIServer
from vendors.people import feed
from vendors.randomuser_server import RandomUserServer
from vendors.twilio_server import TwilioServer

from chaos_testkit.clients import WEBHOOK_TOKEN, Known, MixedLoad
from chaos_testkit.invariants import Ledger, Violation, violations
from chaos_testkit.table import Row
from contactship_common.db import plain_url
from contactship_devstack.stack import Stack
from contactship_devstack.valkey import ValkeyServer

if TYPE_CHECKING:
    from chaos_testkit.faults import Fault

PROCESSES = ("api", "scheduler", "ai_worker", "sync_worker", "delivery_worker")
_FEED_PEOPLE = 60
_MOST_COMPLAINTS = 20
_AFTER_A_LEASE_S = 5.0
"""What a killed worker did is found by its lease, and done anew within this time after it."""


@dataclass(frozen=True)
class Length:
    """How long things take. `away_s`: how long a server is gone; `trouble_s`: how long a model misbehaves or a wrong
    state lasts; `quiet_s`: after which what is not done counts as stuck; `steps`: of every client before and after."""

    lease_s: float
    away_s: float
    trouble_s: float
    quiet_s: float
    steps: int
    env: dict[str, str]


FULL = Length(
    lease_s=30.0,
    away_s=30.0,
    trouble_s=6.0,
    quiet_s=150.0,
    steps=4,
    # As delivered, but for what would only be waited for.
    env={"AI_TIMEOUT": "4", "AI_DEBOUNCE_MS": "1000", "AI_DEBOUNCE_MAX_WAIT_MS": "5000", "DELIVERY_UNKNOWN_AFTER": "5"},
)
SHORT = Length(
    lease_s=float(SHORT_LEASE["TASK_LEASE"]),
    away_s=2.0,
    trouble_s=1.0,
    quiet_s=60.0,
    steps=1,
    env=FAST
    | SHORT_LEASE
    | {"AI_DEBOUNCE_MS": "200", "AI_DEBOUNCE_MAX_WAIT_MS": "1000", "DELIVERY_UNKNOWN_AFTER": "0.5"},
)


@dataclass
class Vendors:
    """Real HTTP servers; each answers well until a fault says otherwise."""

    openai: OpenAIServer = field(default_factory=OpenAIServer)
    twilio: TwilioServer = field(default_factory=TwilioServer)
    people: RandomUserServer = field(default_factory=RandomUserServer)

    @contextmanager
    def running(self) -> Iterator["Vendors"]:
        with self.openai, self.twilio, self.people:
            self.behave()
            yield self

    def behave(self) -> None:
        """Answer well, and slowly enough that something is always under way."""
        self.openai.behave()
        self.openai.latency = 0.3
        self.twilio.always(Say(wait_seconds=0.2))

    @property
    def environment(self) -> dict[str, str]:
        """Settings with which everything goes through these servers."""
        return {
            "AI_PROVIDERS": "openai",
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_BASE_URL": self.openai.base_url,
            "RANDOMUSER_URL": f"{self.people.url}/api/",
            "BUILDERBOT_WEBHOOK_TOKEN": WEBHOOK_TOKEN,
            "OTP_SECRET": "otp-secret-of-the-tests-0123456789abcdef",
            **self.twilio.settings,
            **sources(crm=feed(self.people.url, "cursor", _FEED_PEOPLE)),
        }

    def ledger(self) -> Ledger:
        """What they counted so far."""
        sms = Counter(
            # A code's text is as good as random; its number is its own.
            taken.text if taken.text.startswith("sms ") else taken.to
            for taken in self.twilio.messages
        )
        asked = self.people.calls["/api/"] + self.people.calls["/feed/cursor"]
        return Ledger(model_calls=self.openai.counts()["by_subject"], sms=sms, source_calls=asked)


class Stage:
    """Everything that a fault may hurt. Faults follow each other on one stage, each with a window of load."""

    def __init__(self, stack: Stack, vendors: Vendors, length: Length) -> None:
        self.scene = Scene(stack)
        self.stack = stack
        self.vendors = vendors
        self.length = length
        self._promised: list[tuple[str, str | None, str]] = []
        self._seen: set[str] = set()
        self._windows = 0
        # These have a summary from the beginning: good data, which no fault may take away.
        leads = list(self.scene.insert_leads(10).values())
        for lead_id in leads:
            self.scene.summarize(lead_id)
        self.scene.until_quiet()
        self._known = Known(leads, vendors.twilio)

    @property
    def valkey(self) -> ValkeyServer:
        assert self.stack.valkey is not None
        return self.stack.valkey

    def close(self) -> None:
        self.scene.close()

    def wait(self, seconds: float) -> None:
        """Let a fault last; the load goes on meanwhile."""
        time.sleep(seconds)

    def until(self, condition: Callable[[], object], what: str, *, seconds: float = 60.0) -> None:
        self.scene.until(condition, what, seconds=seconds)

    def heal(self) -> None:
        """Make everything run and answer again, whatever the fault before left behind."""
        self.valkey.thaw()
        self.valkey.start()
        if self.stack.postgres:
            self.stack.postgres.start()
        self.scene.reconnect()
        for name in PROCESSES:
            self.stack.thaw(name)
            if not self.stack.process(name).running:
                self.stack.restart(name)
        self.vendors.behave()

    @contextmanager
    def locked(self, table: str) -> Iterator[None]:
        """A fault point: whoever writes to this table stands still in the middle of its transaction."""
        with psycopg.connect(plain_url(self.stack.database_url)) as connection:
            connection.execute(f"LOCK TABLE {table} IN SHARE MODE".encode())
            yield

    def standing(self, statement: str) -> int:
        """How many transactions stand at a lock in a statement that begins so."""
        return self.scene.count(
            "pg_stat_activity WHERE wait_event_type = 'Lock' AND ltrim(query, E' \\n') ILIKE %(like)s",
            like=f"{statement}%",
        )

    def endure(self, fault: "Fault") -> tuple[Row, list[str]]:
        """One window: load, fault, load, quiet, judgement. Returns the row of the table, and what is to be said of it
        where it is not good."""
        self.heal()
        self._windows += 1
        since = datetime.now(UTC)
        with MixedLoad(self.scene, self._known, str(self._windows)) as load:
            load.until_steps(self.length.steps)
            fault.happen(self)
            over = time.monotonic()
            load.until_steps(self.length.steps)
        self.scene.reconnect()
        try:
            self.until(self._is_quiet, "all that was accepted to be done", seconds=self.length.quiet_s)
            recovered: float | None = time.monotonic() - over
        except TimeoutError:
            recovered = None
        self._promised += load.told.promised
        found = self._judge(fault, since)
        counted = Counter(violation.invariant.counts_as for violation in found)
        row = Row(
            fault=fault.name,
            requests=load.told.requests,
            broken=load.told.statuses[None],
            refused=load.told.statuses[503],
            lost=counted["lost"],
            double=counted["double"],
            stuck=counted["stuck"],
            wrong=len(load.told.wrong),
            recovered_s=recovered,
            at_most_s=self.length.lease_s + _AFTER_A_LEASE_S if fault.waits_for_lease else None,
        )
        complaints = [*map(str, found[:_MOST_COMPLAINTS]), *load.told.wrong[:_MOST_COMPLAINTS]]
        return row, [*complaints, self.scene.story(), f"logs of all processes: {self.stack.folder}"]

    def _is_quiet(self) -> bool:
        return not self.scene.open_tasks() and not self.scene.count("webhook_inbox WHERE handled_at IS NULL")

    def _judge(self, fault: "Fault", since: datetime) -> list[Violation]:
        ledger = self.vendors.ledger()
        ledger.promised, ledger.excused = self._promised, fault.excuses
        ledger.since, ledger.paid_once = since, fault.paid_once
        found = [v for v in violations(plain_url(self.stack.database_url), ledger) if str(v) not in self._seen]
        # Each is counted once, for the fault that it came with.
        self._seen |= {str(violation) for violation in found}
        return found

    def task_ids(self, limit: int) -> list[tuple[str, str]]:
        """Queue and id of the newest tasks, in whatever state."""
        rows = self.scene.sql("SELECT queue, id FROM tasks ORDER BY id DESC LIMIT %(limit)s", limit=limit)
        return [(row["queue"], str(row["id"])) for row in rows]

    def health(self, name: str) -> int:
        return httpx.get(f"{self.stack.process(name).url}/health/readiness", timeout=10).status_code
