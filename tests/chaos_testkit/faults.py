"""Every fault that must be survived: what it is called, how it is done, and what it excuses.

A fault returns when the system is whole again. Where the moment matters it is not left to chance: a vendor that holds
its answer, a table that is locked, a Redis that hangs.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from uuid import UUID

import pytest
from vendors.messaging import Say as SmsSay

from chaos_testkit import clock
from chaos_testkit.stage import Stage
from contactship_common.tasks.bell import message_for
from contactship_common.tasks.broker import make_broker

_CLOCK_OFF_SECONDS = 300
_HELD_SMS = 2


@dataclass(frozen=True)
class Fault:
    """`excuses`: reasons for which tasks may fail, because nothing better can be said of them. `paid_once`: no model may
    be asked twice about the same. `waits_for_lease`: what was under way is found when its lease runs out. `short`: also
    part of `make test`."""

    name: str
    happen: Callable[[Stage], None]
    excuses: frozenset[str] = frozenset()
    paid_once: bool = True
    waits_for_lease: bool = False
    short: bool = False


# kill -9


def _kill_ai_worker(stage: Stage) -> None:
    """While the model works on an answer."""
    stage.vendors.openai.latency = 60.0
    stage.until(lambda: stage.vendors.openai.counts()["in_flight"] >= 2, "calls in flight")
    stage.stack.kill9("ai_worker")
    stage.vendors.behave()
    stage.stack.restart("ai_worker")


def _kill_sync_worker(stage: Stage) -> None:
    """With a page of people half applied: the leads are written, the counters are not, nothing is committed."""
    with stage.locked("sync_jobs"):
        stage.until(lambda: stage.standing("UPDATE sync_jobs"), "a page to be applied")
        stage.stack.kill9("sync_worker")
    stage.stack.restart("sync_worker")


def _kill_delivery_worker(stage: Stage) -> None:
    """While the vendor has messages and has not said so."""
    twilio = stage.vendors.twilio
    before = len(twilio.requests)
    twilio.script(*[SmsSay(lose="hold")] * _HELD_SMS)
    stage.until(lambda: len(twilio.requests) >= before + _HELD_SMS, "messages that the vendor holds")
    stage.stack.kill9("delivery_worker")
    stage.stack.restart("delivery_worker")


def _kill_api_before_its_commit(stage: Stage) -> None:
    with stage.locked("audit_logs"):
        stage.until(lambda: stage.standing("INSERT INTO audit_logs") >= 2, "requests about to commit")
        stage.stack.kill9("api")
    stage.stack.restart("api")


def _kill_api_after_its_commit(stage: Stage) -> None:
    """Between the commit and the answer, where a hanging Redis keeps it."""
    before = stage.scene.count("idempotency_keys")
    stage.valkey.freeze()
    deadline = time.monotonic() + 20
    while stage.scene.count("idempotency_keys") <= before and time.monotonic() < deadline:
        time.sleep(0.001)
    stage.stack.kill9("api")
    stage.valkey.thaw()
    stage.stack.restart("api")


def _kill_scheduler(stage: Stage) -> None:
    stage.stack.kill9("scheduler")
    stage.wait(stage.length.trouble_s)
    stage.stack.restart("scheduler")


# Redis and PostgreSQL


def _flush_redis(stage: Stage) -> None:
    for _ in range(5):
        stage.valkey.flush()
        stage.wait(stage.length.trouble_s / 5)


def _stop_redis(stage: Stage) -> None:
    stage.valkey.kill()
    stage.wait(stage.length.away_s)
    stage.valkey.start()


def _freeze_redis(stage: Stage) -> None:
    stage.valkey.freeze()
    stage.wait(stage.length.away_s / 2)
    stage.valkey.thaw()


def _restart_postgres(stage: Stage, *, crash: bool) -> None:
    assert stage.stack.postgres is not None
    stage.stack.postgres.restart(crash=crash)
    stage.scene.reconnect()
    stage.until(lambda: stage.health("api") == 200, "the API to find its database again")


# Models


def _model_says(stage: Stage, kind: str, **how: str) -> None:
    stage.vendors.openai.always(kind, **how)
    stage.wait(stage.length.trouble_s)
    stage.vendors.behave()


def _model_is_slow(stage: Stage) -> None:
    stage.vendors.openai.latency = 3.0
    stage.wait(stage.length.trouble_s)
    stage.vendors.behave()


# Messages, clocks, replicas, deploys


def _ring_five_times(stage: Stage) -> None:
    """Whatever waits, runs or has ended: five more messages for each."""
    broker = make_broker(stage.stack.redis_url)
    until = time.monotonic() + stage.length.trouble_s
    try:
        while time.monotonic() < until:
            for queue, task_id in stage.task_ids(20):
                for _ in range(5):
                    broker.enqueue(message_for(queue, UUID(task_id)))
            stage.wait(0.1)
    finally:
        broker.close()


def _wrong_clocks(stage: Stage) -> None:
    if not clock.can_be_wrong():
        pytest.skip("no C compiler to make a wrong clock with")
    for name, seconds in (("ai_worker", _CLOCK_OFF_SECONDS), ("delivery_worker", -_CLOCK_OFF_SECONDS)):
        stage.stack.restart(name, env=clock.wrong_by(seconds, stage.stack.folder))
    stage.wait(stage.length.trouble_s)
    for name in ("ai_worker", "delivery_worker"):
        stage.stack.restart(name, env=clock.RIGHT)


def _hang_ai_worker(stage: Stage) -> None:
    """It wakes with answers to tasks that are not its own any more."""
    stage.until(lambda: stage.vendors.openai.counts()["in_flight"] >= 1, "a call in flight")
    stage.stack.freeze("ai_worker")
    stage.wait(stage.length.lease_s + 3)
    stage.stack.thaw("ai_worker")


def _two_schedulers(stage: Stage) -> None:
    """Two at once, then one of them dies."""
    [second] = stage.stack.start("scheduler")
    stage.wait(stage.length.trouble_s)
    stage.stack.kill9("scheduler")
    stage.wait(stage.length.trouble_s / 2)
    stage.stack.restart("scheduler")
    assert second.stop() == 0


def _deploy(stage: Stage, name: str) -> None:
    """As a rolling deploy does it: SIGTERM in the middle of work, and the next one starts."""
    assert stage.stack.sigterm(name) == 0, f"{name} did not stop by itself"
    stage.stack.restart(name)


_UNKNOWN = frozenset({"unknown"})
"""A message whose answer was lost may have been sent: it is not sent again, and says so."""

FAULTS: tuple[Fault, ...] = (
    Fault("AI worker killed while a model answers", _kill_ai_worker, paid_once=False, waits_for_lease=True, short=True),
    Fault("sync worker killed while it applies a page", _kill_sync_worker, waits_for_lease=True),
    Fault(
        "delivery worker killed while a vendor answers",
        _kill_delivery_worker,
        excuses=_UNKNOWN,
        waits_for_lease=True,
        short=True,
    ),
    Fault("API killed before its commit", _kill_api_before_its_commit),
    Fault("API killed between commit and answer", _kill_api_after_its_commit, short=True),
    Fault("scheduler killed", _kill_scheduler),
    Fault("two schedulers, one dies", _two_schedulers, short=True),
    Fault("Redis emptied, five times", _flush_redis, short=True),
    Fault("Redis stopped", _stop_redis),
    Fault("Redis hanging", _freeze_redis),
    Fault("PostgreSQL restarted", partial(_restart_postgres, crash=False), short=True),
    Fault("PostgreSQL crashed", partial(_restart_postgres, crash=True)),
    Fault("model slow", _model_is_slow),
    Fault("model answers 429", partial(_model_says, kind="rate_limited", retry_after="2"), paid_once=False),
    Fault("model answers 500", partial(_model_says, kind="server_error"), paid_once=False),
    Fault(
        "model answers garbage",
        partial(_model_says, kind="schema_breaking"),
        excuses=frozenset({"ai_invalid_answer"}),
        paid_once=False,
    ),
    Fault("model never answers", partial(_model_says, kind="hang"), paid_once=False),
    Fault("every message delivered five times", _ring_five_times, short=True),
    Fault("clocks of two workers 5 minutes off", _wrong_clocks),
    Fault("AI worker hanging longer than its lease", _hang_ai_worker, paid_once=False),
    *(
        Fault(f"SIGTERM and restart: {name}", partial(_deploy, name=name), short=name == "ai_worker")
        for name in ("api", "scheduler", "ai_worker", "sync_worker", "delivery_worker")
    ),
)
