"""Imports as the worker runs them: a chunk a run, exact whatever happens in between."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from contactship_common.lead_csv.chunks import CHUNK_ROWS, WINDOW_BYTES, read_layout
from contactship_common.lead_csv.encoding import EncodingScan
from contactship_common.lead_csv.pieces import PIECE_BYTES
from contactship_common.models import LeadImport, LeadImportPiece
from contactship_common.runtime import Runtime
from contactship_common.tasks import store
from contactship_common.tasks.catalog import LeadImportRun
from contactship_common.tasks.runner import Runner
from contactship_common.uow import Context, UnitOfWork, unit_of_work
from contactship_sync_worker.handlers.import_leads import ImportLeads
from contactship_sync_worker.retention import Retention

HEADER = "name,email,phone\n"


class Imports:
    """Uploads as the gateway stores them, and a worker's runner."""

    def __init__(self, runtime: Runtime, sql: Any) -> None:
        self.runtime = runtime
        self.sql = sql
        self.runner = Runner(runtime, {LeadImportRun.KIND: ImportLeads()}, owner="worker-of-the-test")

    async def upload(self, content: bytes) -> tuple[UUID, UUID]:
        """Returns the ids of the import and its task."""
        scan = EncodingScan()
        scan.feed(content)
        head, at_end = content[:WINDOW_BYTES], len(content) <= WINDOW_BYTES
        layout, begin = read_layout(head, scan.decide(), at_end=at_end, mapping=None)
        async with unit_of_work(self.runtime, Context(actor="tester")) as uow:
            row = LeadImport(
                bytes_total=len(content),
                encoding=layout.encoding,
                delimiter=layout.delimiter,
                mapping=layout.stored(),
                next_row=begin.row,
                next_byte=begin.byte,
            )
            uow.session.add(row)
            await uow.session.flush()
            for number, at in enumerate(range(0, len(content), PIECE_BYTES)):
                piece = content[at : at + PIECE_BYTES]
                uow.session.add(LeadImportPiece(import_id=row.id, number=number, content=piece))
            ref = uow.enqueue(LeadImportRun(import_id=row.id))
            row.task_id = ref.id
        return row.id, ref.id

    async def finish(self, task_id: UUID) -> int:
        """Run it to its end; returns how many runs that took."""
        runs = 0
        while (await self.task(task_id))["status"] == "queued":
            await self.sql("UPDATE tasks SET run_at = now() WHERE id = %s", task_id)
            await self.runner.run(task_id)
            runs += 1
        return runs

    async def task(self, task_id: UUID) -> dict[str, Any]:
        [row] = await self.sql("SELECT * FROM tasks WHERE id = %s", task_id)
        return dict(row)

    async def counters(self, import_id: UUID) -> tuple[int, ...]:
        [row] = await self.sql(
            "SELECT records_processed, records_created, records_skipped, records_failed FROM lead_imports"
            " WHERE id = %s",
            import_id,
        )
        return tuple(row.values())


@pytest.fixture
def imports(runtime: Runtime, sql: Any) -> Imports:
    return Imports(runtime, sql)


def people(first: int, last: int) -> str:
    return "".join(f"Ana {n},a{n}@example.com,+54 11 4444-{n % 10_000:04d}\n" for n in range(first, last))


async def test_a_chunk_is_a_run_of_the_same_task_and_its_progress_is_shown(imports: Imports) -> None:
    import_id, task_id = await imports.upload((HEADER + people(0, 2 * CHUNK_ROWS + 10)).encode())
    await imports.runner.run(task_id)
    task = await imports.task(task_id)
    assert (task["status"], task["result"]["processed"]) == ("queued", CHUNK_ROWS)
    assert await imports.counters(import_id) == (CHUNK_ROWS, CHUNK_ROWS, 0, 0)
    assert await imports.finish(task_id) == 2
    task = await imports.task(task_id)
    assert (task["status"], task["slot"]) == ("succeeded", None)
    assert task["result"] == {
        "importId": str(import_id), "processed": 4_010, "created": 4_010, "skipped": 0, "failed": 0,
    }  # fmt: skip
    assert await imports.sql("SELECT count(*)::int AS n FROM tasks") == [{"n": 1}]
    assert await imports.sql("SELECT count(*)::int AS n FROM lead_import_pieces") == [{"n": 0}]
    assert await imports.sql("SELECT count(*)::int AS n FROM leads WHERE source = 'csv'") == [{"n": 4_010}]
    assert [row["action"] for row in await imports.sql("SELECT action FROM audit_logs")] == ["lead.import_finished"]


async def test_a_file_of_many_pieces_is_read_across_their_borders(imports: Imports) -> None:
    filler = "ñ" * 600
    rows = "".join(f'Ana {n},a{n}@example.com,,"{filler}\n{n}"\n' for n in range(3_000))
    content = ("name,email,phone,notes\n" + rows).encode()
    assert len(content) > 3 * PIECE_BYTES
    import_id, task_id = await imports.upload(content)
    await imports.finish(task_id)
    assert await imports.counters(import_id) == (3_000, 3_000, 0, 0)
    wrong = await imports.sql(
        "SELECT email FROM leads WHERE metadata->>'notes' <> %s || E'\\n' || substr(split_part(email, '@', 1), 2)",
        filler,
    )
    assert wrong == []


async def test_a_run_that_was_overtaken_leaves_nothing(imports: Imports) -> None:
    import_id, task_id = await imports.upload((HEADER + people(0, 50)).encode())
    handler = imports.runner.handlers[LeadImportRun.KIND]
    task = await store.claim(imports.runtime.db.fast, task_id, owner="slow", lease_seconds=30)
    assert task is not None
    payload = LeadImportRun(import_id=import_id)
    async with imports.runtime.db.sessions() as session:
        loaded = await handler.load(session, payload, task)
    result = await handler.work(payload, loaded)
    await imports.sql("UPDATE tasks SET status = 'queued', lease_until = NULL, run_at = now() WHERE id = %s", task_id)
    await imports.finish(task_id)
    uow = UnitOfWork(imports.runtime, Context(actor="slow"))
    await handler.record(uow, payload, task, loaded, result)
    assert await store.finish(uow.session, task, "succeeded") is None  # and then the runner rolls back
    await uow.rollback()
    await uow.close()
    assert await imports.counters(import_id) == (50, 50, 0, 0)


async def test_two_imports_of_the_same_people_at_once_make_each_of_them_once(imports: Imports) -> None:
    lower = (HEADER + people(0, 3_000)).encode()
    backwards = "".join(reversed(people(0, 3_000).upper().splitlines(keepends=True)))
    upper = (HEADER + backwards).encode()
    first, second = await imports.upload(lower), await imports.upload(upper)
    await asyncio.gather(imports.finish(first[1]), imports.finish(second[1]))
    one, two = await imports.counters(first[0]), await imports.counters(second[0])
    assert one[0] == two[0] == 3_000
    assert one[1] + two[1] == one[2] + two[2] == 3_000
    assert await imports.sql("SELECT count(*)::int AS n, count(DISTINCT email)::int AS m FROM leads") == [
        {"n": 3_000, "m": 3_000}
    ]
    assert await imports.sql("SELECT count(*)::int AS n FROM persons") == [{"n": 3_000}]


async def test_a_lost_upload_fails_for_good_and_keeps_what_was_imported(imports: Imports) -> None:
    import_id, task_id = await imports.upload((HEADER + people(0, CHUNK_ROWS + 5)).encode())
    await imports.runner.run(task_id)
    await imports.sql("DELETE FROM lead_import_pieces")
    await imports.finish(task_id)
    task = await imports.task(task_id)
    assert (task["status"], task["error"]["code"]) == ("failed", "upload_gone")
    assert await imports.counters(import_id) == (CHUNK_ROWS, CHUNK_ROWS, 0, 0)
    [row] = await imports.sql("SELECT finished_at FROM lead_imports")
    assert row["finished_at"] is not None


async def test_drafts_and_pieces_of_cancelled_imports_are_swept(imports: Imports, runtime: Runtime) -> None:
    kept, _ = await imports.upload((HEADER + people(0, 5)).encode())
    cancelled, task_id = await imports.upload((HEADER + people(5, 9)).encode())
    draft, _ = await imports.upload((HEADER + people(9, 12)).encode())
    await imports.sql(
        "UPDATE lead_imports SET task_id = NULL, created_at = now() - interval '25 h' WHERE id = %s", draft
    )
    async with unit_of_work(runtime) as uow:
        await store.cancel(uow.session, [task_id])
    gone = await Retention(runtime).sweep()
    assert (gone["lead_imports"], gone["lead_import_pieces"]) == (1, 1)
    left = await imports.sql("SELECT import_id FROM lead_import_pieces")
    assert [row["import_id"] for row in left] == [kept]
    assert {row["id"] for row in await imports.sql("SELECT id FROM lead_imports")} == {kept, cancelled}
