"""Where the pieces of an upload go: to the database for an import, to a file without a name for a dry run."""

import asyncio
import tempfile
from types import TracebackType
from typing import Self
from uuid import UUID

import structlog

from contactship_common.db import DATABASE_AWAY, Database
from contactship_common.lead_csv.chunks import WINDOW_BYTES

log = structlog.get_logger()

_BEGIN = """
INSERT INTO lead_imports (id, bytes_total, encoding, delimiter, mapping, next_row, records_processed, records_created,
                          records_skipped, records_failed, requested_by)
VALUES (%(id)s, 0, '', '', '{}', 0, 0, 0, 0, 0, %(actor)s)
"""
_ADD = "INSERT INTO lead_import_pieces (import_id, number, content) VALUES (%(id)s, %(number)s, %(content)s)"
_DISCARD = "DELETE FROM lead_imports WHERE id = %(id)s AND task_id IS NULL"


class PieceStore:
    """Pieces as rows, each committed as it arrives: no transaction waits for a client. Until a task is given to it, the
    import is a draft that nobody sees; one left behind by a dying process is deleted by the retention sweep."""

    def __init__(self, database: Database, import_id: UUID, actor: str) -> None:
        self._database = database
        self._id = import_id
        self._actor = actor
        self._count = 0

    async def put(self, piece: bytes) -> None:
        async with self._database.fast.connection() as connection:
            if not self._count:
                await connection.execute(_BEGIN, {"id": self._id, "actor": self._actor})
            parameters = {"id": self._id, "number": self._count, "content": piece}
            await connection.execute(_ADD, parameters)
        self._count += 1

    async def discard(self) -> None:
        """Forget the upload; called when it breaks off or is refused."""
        if not self._count:
            return
        try:
            async with self._database.fast.connection() as connection:
                await connection.execute(_DISCARD, {"id": self._id})
        except DATABASE_AWAY as error:
            log.warning("import.draft_left", import_id=str(self._id), error=type(error).__name__)


class FileStore:
    """A temporary file that is gone with its last handle, also when the process dies."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `__exit__`

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    async def put(self, piece: bytes) -> None:
        await asyncio.to_thread(self._file.write, piece)

    def window(self, byte: int) -> bytes:
        """Up to `WINDOW_BYTES` from this byte on. Blocks."""
        self._file.seek(byte)
        return self._file.read(WINDOW_BYTES)
