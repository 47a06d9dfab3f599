"""The statements that move a task through its life. Each is one statement, so each is atomic by itself.

Only PostgreSQL's `now()` is compared, never a worker's clock. `run_no` is the fence: it rises with every claim, and
every statement of a run names the `run_no` it was claimed with, so a stale worker changes nothing.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from contactship_common.db import FastPool
from contactship_common.models.task import Task


@dataclass(slots=True)
class TaskRef:
    """A task as the caller of `enqueue` knows it. Filled in when the unit of work is flushed: until then `id` is only
    a proposal, because a task that already holds the slot wins."""

    id: UUID
    queue: str
    slot: str | None
    status: str = "queued"
    inserted: bool = False
    due: bool = False
    together: str | None = None
    """Its kind, if one ring may stand for many tasks of it."""


@dataclass(frozen=True, slots=True)
class ClaimedTask:
    """One run of one task."""

    id: UUID
    kind: str
    queue: str
    payload: dict[str, Any]
    subject_id: UUID | None
    run_no: int
    failures: int
    max_attempts: int
    intent_at: datetime | None
    requested_by: str | None
    correlation_id: str | None
    traceparent: str | None
    started_at: datetime
    claimed_at: datetime
    waited_seconds: float


_INSERT = """
INSERT INTO tasks AS t (id, kind, queue, priority, payload, subject_id, slot, holds, rerun, max_attempts, run_at,
                        debounce_until, requested_by, correlation_id, traceparent, published_at,
                        status, run_no, failures)
SELECT r.id, r.kind, r.queue, r.priority, r.payload, r.subject_id, r.slot, r.holds, r.rerun, r.max_attempts,
       now() + make_interval(secs => coalesce(least(r.delay, r.max_wait), 0)),
       CASE WHEN r.max_wait IS NOT NULL THEN now() + make_interval(secs => r.max_wait) END,
       r.requested_by, r.correlation_id, r.traceparent,
       CASE WHEN %(ring)s AND coalesce(r.delay, 0) <= 0 THEN now() END,
       'queued', 0, 0
  FROM jsonb_to_recordset(CAST(%(rows)s AS jsonb)) AS r(
       id uuid, kind text, queue text, priority smallint, payload jsonb, subject_id uuid, slot text, holds text,
       rerun boolean, max_attempts int, delay double precision, max_wait double precision, requested_by text,
       correlation_id text, traceparent text)
"""
_OR_FIND = """
 ORDER BY r.slot
    ON CONFLICT (slot) DO UPDATE SET
       payload = t.payload || excluded.payload,
       priority = least(t.priority, excluded.priority),
       rerun = t.rerun OR excluded.rerun,
       -- A debounced task moves with every new reason, up to its limit; others can only be brought forward. Neither
       -- touches a task that has started: its retries keep their backoff.
       run_at = CASE
           WHEN t.status <> 'queued' OR t.started_at IS NOT NULL THEN t.run_at
           WHEN t.debounce_until IS NOT NULL AND excluded.debounce_until IS NOT NULL
               THEN least(excluded.run_at, t.debounce_until)
           ELSE least(t.run_at, excluded.run_at) END,
       -- Whoever brings a debounced task forward has asked for it: no later reason moves it back again.
       debounce_until = CASE WHEN excluded.debounce_until IS NOT NULL THEN t.debounce_until END,
       requested_by = CASE
           WHEN t.status = 'queued' AND t.debounce_until IS NOT NULL AND excluded.debounce_until IS NULL
               THEN excluded.requested_by
           ELSE t.requested_by END,
       -- A task that was not due when it was rung must not count as rung when it becomes due; nor one that was due
       -- and is now moved: the worker that hears its bell finds nothing to claim.
       published_at = CASE
           WHEN t.status <> 'queued' OR t.started_at IS NOT NULL THEN t.published_at
           WHEN t.run_at > now() THEN excluded.published_at
           WHEN t.debounce_until > now() AND excluded.debounce_until IS NOT NULL AND excluded.run_at > now() THEN NULL
           ELSE t.published_at END
"""
_FOUND = """
RETURNING t.id, t.slot, t.status, t.xmax = 0 AS inserted,
          t.status = 'queued' AND t.run_at <= now() AND t.published_at = now() AS due
"""
_ENQUEUE = sa.text(re.sub(r"%\((\w+)\)s", r":\1", _INSERT + _OR_FIND) + _FOUND)


def _json(tasks: Sequence[dict[str, Any]]) -> str:
    return orjson.dumps(tasks).decode()


async def enqueue(session: AsyncSession, rows: Sequence[dict[str, Any]], *, ring: bool) -> dict[str | UUID, Any]:
    """Insert tasks, or find those that hold the same slots. `ring`: the caller rings due ones after its commit.

    Returns the rows found or made, by slot, or by id where there is no slot.
    """
    result = await session.execute(_ENQUEUE, {"rows": _json(rows), "ring": ring})
    return {row.slot or row.id: row for row in result}


_ENQUEUE_NEW = """
WITH stored AS ({insert_rows}), queued AS ({insert_tasks} WHERE r.subject_id IN (SELECT id FROM stored))
SELECT id FROM stored
"""


@cache
def _storing(insert_rows: str) -> bytes:
    return _ENQUEUE_NEW.format(insert_rows=insert_rows, insert_tasks=_INSERT).encode()


async def enqueue_new(
    pool: FastPool, insert_rows: str, parameters: Mapping[str, Any], tasks: Sequence[dict[str, Any]], *, ring: bool
) -> set[UUID]:
    """Insert rows, and the tasks about those that were inserted, in one statement that is a transaction by itself.

    `insert_rows` is an INSERT that may pass over some rows and returns the `id` of each new one; `tasks` have these
    as their subjects. Returns the new ids. A new id cannot hold a slot yet, so none is asked for.
    """
    async with pool.connection() as connection:
        cursor = await connection.execute(_storing(insert_rows), {**parameters, "rows": _json(tasks), "ring": ring})
        return {row["id"] for row in await cursor.fetchall()}


@cache
def _writing(steps: str, found: str) -> bytes:
    """The whole statement, without what only people need: psycopg remembers what it has parsed up to 4,096 bytes."""
    queued = f"{_INSERT} WHERE EXISTS (SELECT FROM found) {_OR_FIND}"
    text = f"WITH {steps}, found AS ({found}), queued AS ({queued}) SELECT * FROM found"  # noqa: S608  # all constants
    return " ".join(re.sub(r"--.*", "", text).split()).encode()


async def write_with_tasks(
    pool: FastPool, steps: str, found: str, parameters: Mapping[str, Any], tasks: Sequence[dict[str, Any]]
) -> dict[str, Any] | None:
    """Run `steps` (what stands in a WITH) and queue the tasks in one statement that is a transaction by itself.

    `found` is a SELECT from the steps; without a row of it no task is queued. Returns its first row. Nobody is rung:
    the dispatcher takes the tasks when they are due.
    """
    given = {**parameters, "rows": _json(tasks), "ring": False}
    async with pool.connection() as connection:
        cursor = await connection.execute(_writing(steps, found), given)
        return await cursor.fetchone()


@cache
def _asking(steps: str) -> bytes:
    queued = f"{_INSERT} WHERE EXISTS (SELECT FROM asked) {_OR_FIND} {_FOUND}"
    text = f"WITH {steps}, queued AS ({queued}) SELECT * FROM queued"  # noqa: S608  # all constants
    return " ".join(re.sub(r"--.*", "", text).split()).encode()


async def enqueue_if(
    pool: FastPool, steps: str, parameters: Mapping[str, Any], task: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Queue the task, or find the one that holds its slot, in one statement that is a transaction by itself; but only
    where `asked`, which `steps` (what stands in a WITH) ends in, has a row. The caller rings it if it is `due`.

    Returns `id`, `slot`, `status`, `inserted` and `due` of the task; None: nothing was asked.
    """
    async with pool.connection() as connection:
        given = {**parameters, "rows": _json([dict(task)]), "ring": True}
        return await (await connection.execute(_asking(steps), given)).fetchone()


# A UUIDv7, as the application makes them: 48 bits of the time in ms, then version and chance.
_UUID7 = """
encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
    PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6),
    52, 1), 53, 1), 'hex')::uuid
"""


async def enqueue_each(session: AsyncSession, subjects: sa.Select[UUID], row: Mapping[str, Any]) -> int:
    """Insert a task for every subject that `subjects` selects, in one statement; those whose slot is held stay as they
    are. Returns how many were inserted.

    `row` holds what all of them share; of `slot` what stands before the subject's id, and as `field` the key of that
    id in the payload.
    """
    found = subjects.subquery("subjects")
    subject = found.c[0]
    slot = sa.literal(row["slot"], sa.Text) + sa.cast(subject, sa.Text)
    shared = {name: row[name] for name in ("kind", "queue", "priority", "holds", "max_attempts", "requested_by",
                                            "correlation_id", "traceparent")}  # fmt: skip
    values: dict[str, Any] = {
        "id": sa.literal_column(_UUID7, sa.Uuid()),
        "payload": sa.func.jsonb_build_object(sa.literal(row["field"], sa.Text), sa.cast(subject, sa.Text)),
        "subject_id": subject,
        "slot": slot,
        "status": "queued",
        "rerun": False,
        "run_no": 0,
        "failures": 0,
        "run_at": sa.func.now(),
        **shared,
    }
    columns = {name: Task.__table__.c[name] for name in values}  # type: ignore[attr-defined]
    chosen = [
        value if isinstance(value, sa.ColumnElement) else sa.literal(value, columns[name].type)
        for name, value in values.items()
    ]
    # In slot order, as everywhere: two of these never wait for each other.
    statement = insert(Task).from_select(list(values), sa.select(*chosen).order_by(slot), include_defaults=False)
    made = statement.on_conflict_do_nothing(index_elements=["slot"]).returning(sa.literal(1)).cte("made")
    return int((await session.execute(sa.select(sa.func.count()).select_from(made))).scalar_one())


TAKE = """
UPDATE tasks SET status = 'running', run_no = run_no + 1, rerun = false, lease_owner = %(owner)s,
       lease_until = now() + make_interval(secs => %(lease)s), claimed_at = now(),
       started_at = coalesce(started_at, now()),
       slot = CASE WHEN holds = 'waiting' THEN NULL ELSE slot END
"""
TAKEN = """
RETURNING tasks.id, kind, queue, payload, subject_id, run_no, failures, max_attempts, intent_at, requested_by,
          correlation_id, traceparent, started_at, claimed_at,
          extract(epoch FROM now() - started_at)::float8 AS waited_seconds
"""
_CLAIM = f"{TAKE} WHERE id = %(id)s AND status = 'queued' AND run_at <= now() {TAKEN}"
_CLAIM_FREE = f"""
WITH free AS MATERIALIZED (
     SELECT id FROM tasks WHERE id = ANY(%(ids)s) AND status = 'queued' AND run_at <= now()
        FOR NO KEY UPDATE SKIP LOCKED)
{TAKE} FROM free WHERE tasks.id = free.id {TAKEN}
"""  # noqa: S608  # all constants


async def claim(pool: FastPool, task_id: UUID, *, owner: str, lease_seconds: float) -> ClaimedTask | None:
    """Make the task ours for one lease; None if there is nothing to claim (a duplicate message, or not due yet)."""
    async with pool.connection() as connection:
        cursor = await connection.execute(_CLAIM, {"id": task_id, "owner": owner, "lease": lease_seconds})
        row = await cursor.fetchone()
    return ClaimedTask(**row) if row else None


async def claim_free(
    pool: FastPool, task_ids: Sequence[UUID], *, owner: str, lease_seconds: float
) -> dict[UUID, ClaimedTask]:
    """Make all of these tasks ours that can be claimed and that nobody holds locked at this moment: who waits for none
    is waited for by none, in whatever order others lock them."""
    async with pool.connection() as connection:
        asked = {"ids": list(task_ids), "owner": owner, "lease": lease_seconds}
        rows = await (await connection.execute(_CLAIM_FREE, asked)).fetchall()
    return {row["id"]: ClaimedTask(**row) for row in rows}


_RENEW = """
UPDATE tasks SET lease_until = now() + make_interval(secs => %(lease)s)
  FROM unnest(%(ids)s::uuid[], %(runs)s::int[]) AS mine(id, run_no)
 WHERE tasks.id = mine.id AND tasks.run_no = mine.run_no AND tasks.status = 'running'
RETURNING tasks.id, tasks.run_no
"""


async def renew(pool: FastPool, runs: Iterable[tuple[UUID, int]], *, lease_seconds: float) -> set[tuple[UUID, int]]:
    """Renew the leases of these runs; those missing from the answer belong to somebody else now."""
    pairs = list(runs)
    async with pool.connection() as connection:
        cursor = await connection.execute(
            _RENEW, {"ids": [p[0] for p in pairs], "runs": [p[1] for p in pairs], "lease": lease_seconds}
        )
        return {(row["id"], row["run_no"]) for row in await cursor.fetchall()}


_INTEND = sa.text("""
UPDATE tasks SET intent_at = now() WHERE id = :id AND run_no = :run_no AND status = 'running' RETURNING id
""")


async def intend(session: AsyncSession, task: ClaimedTask) -> bool:
    """Note that this run is about to do something that must not be done twice; False: the run was overtaken."""
    result = await session.execute(_INTEND, {"id": task.id, "run_no": task.run_no})
    return result.first() is not None


Where = AsyncSession | FastPool
"""A transaction, or the pool of single statements: a run that has nothing else to write ends in one round trip."""


async def _first(where: Where, statement: str, parameters: dict[str, Any]) -> Any:
    """The first value of the first row, or None."""
    if isinstance(where, AsyncSession):
        return (await where.execute(_in_session(statement), parameters)).scalar_one_or_none()
    async with where.connection() as connection:
        row = await (await connection.execute(statement, parameters)).fetchone()
    return next(iter(row.values())) if row else None


@cache
def _in_session(statement: str) -> sa.TextClause:
    return sa.text(re.sub(r"%\((\w+)\)s", r":\1", statement))


FINISHED = """
       status = CASE WHEN rerun THEN 'queued' ELSE {status} END,
       slot = CASE WHEN rerun THEN slot END,
       finished_at = CASE WHEN rerun THEN NULL ELSE now() END,
       started_at = CASE WHEN rerun THEN NULL ELSE started_at END,
       failures = CASE WHEN rerun THEN 0 ELSE failures + {counted} END,
       run_at = CASE WHEN rerun THEN now() ELSE run_at END,
       result = CAST({result} AS jsonb), error = CAST({error} AS jsonb),
       rerun = false, lease_until = NULL, lease_owner = NULL, intent_at = NULL,
       published_at = CASE WHEN rerun THEN now() END
"""
"""What is set when a run ends; a task that somebody asked for once more meanwhile is queued again."""

_FINISH = f"""
UPDATE tasks SET {FINISHED.format(**{name: f"%({name})s" for name in ("status", "counted", "result", "error")})}
 WHERE id = %(id)s AND run_no = %(run_no)s AND status = 'running'
RETURNING status
"""  # noqa: S608  # all constants


async def finish(
    where: Where,
    task: ClaimedTask,
    status: str,
    *,
    result: dict[str, Any] | None = None,
    error: dict[str, Any] | None = None,
    counted: bool = False,
) -> str | None:
    """End the task, or queue it once more where somebody asked for a fresh run meanwhile.

    Returns the status the task now has; None: the run was overtaken, and the transaction must be rolled back.
    """
    now: str | None = await _first(
        where,
        _FINISH,
        {
            "id": task.id,
            "run_no": task.run_no,
            "status": status,
            "counted": int(counted),
            "result": json.dumps(result) if result is not None else None,
            "error": json.dumps(error) if error is not None else None,
        },
    )
    return now


_REQUEUE = """
UPDATE tasks SET status = 'queued', failures = failures + %(counted)s,
       run_at = now() + make_interval(secs => %(delay)s), error = CAST(%(error)s AS jsonb),
       lease_until = NULL, lease_owner = NULL, published_at = NULL,
       intent_at = CASE WHEN %(keep_intent)s THEN intent_at END
 WHERE id = %(id)s AND run_no = %(run_no)s AND status = 'running'
RETURNING id
"""


async def requeue(
    where: Where,
    task: ClaimedTask,
    *,
    delay_seconds: float,
    counted: bool,
    error: dict[str, Any] | None,
    keep_intent: bool = False,
) -> bool:
    """Give the task back to the queue; False: the run was overtaken. `keep_intent`: it may have acted already."""
    found = await _first(
        where,
        _REQUEUE,
        {
            "id": task.id,
            "run_no": task.run_no,
            "delay": delay_seconds,
            "counted": int(counted),
            "keep_intent": keep_intent,
            "error": json.dumps(error) if error is not None else None,
        },
    )
    return found is not None


_CANCEL = sa.text("""
UPDATE tasks SET status = 'cancelled', slot = NULL, finished_at = now(), published_at = NULL
 WHERE id = ANY(:ids) AND status = 'queued' RETURNING id
""")


async def cancel(session: AsyncSession, ids: Sequence[UUID]) -> set[UUID]:
    """Cancel those of these tasks that are still queued; returns them."""
    return set((await session.execute(_CANCEL, {"ids": list(ids)})).scalars())


_CANCEL_OF_SUBJECT = sa.text("""
UPDATE tasks SET status = 'cancelled', slot = NULL, finished_at = now(), published_at = NULL
 WHERE subject_id = :subject_id AND status = 'queued' RETURNING id
""")


async def cancel_of_subject(session: AsyncSession, subject_id: UUID) -> set[UUID]:
    """Cancel what is still queued about a subject that goes away; returns those tasks."""
    return set((await session.execute(_CANCEL_OF_SUBJECT, {"subject_id": subject_id})).scalars())


_RETRY = sa.text("""
UPDATE tasks SET status = 'queued', failures = 0, run_at = now(), started_at = NULL, finished_at = NULL,
       error = NULL, published_at = now(), intent_at = NULL
 WHERE id = :id AND status = 'failed' RETURNING id
""")


async def retry(session: AsyncSession, task_id: UUID) -> bool:
    """Queue a failed task again. It never takes its slot back: a newer task may hold it."""
    return (await session.execute(_RETRY, {"id": task_id})).first() is not None
