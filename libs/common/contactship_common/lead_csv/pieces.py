"""An upload as it is stored: pieces of 1 MiB, read back as windows."""

from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from contactship_common.lead_csv.chunks import WINDOW_BYTES

PIECE_BYTES = 1024 * 1024

_WINDOW = sa.text("""
SELECT substring(string_agg(content, ''::bytea ORDER BY number) FROM :skip FOR :size)
  FROM lead_import_pieces WHERE import_id = :import_id AND number BETWEEN :first AND :last
""")


async def read_window(session: AsyncSession, import_id: UUID, byte: int) -> bytes:
    """Up to `WINDOW_BYTES` of the upload from this byte on; empty behind its end, or when it is gone."""
    parameters = {
        "import_id": import_id,
        "first": byte // PIECE_BYTES,
        "last": (byte + WINDOW_BYTES - 1) // PIECE_BYTES,
        "skip": byte % PIECE_BYTES + 1,
        "size": WINDOW_BYTES,
    }
    return bytes((await session.execute(_WINDOW, parameters)).scalar_one_or_none() or b"")
