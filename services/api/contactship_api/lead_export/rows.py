"""A lead as a line of CSV. `lead_csv` reads these columns back."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from contactship_common.lead_csv.writing import csv_line

COLUMNS = (
    "id", "firstName", "lastName", "email", "phone", "street", "city", "state", "postcode", "country", "dateOfBirth",
    "nationality", "gender", "pictureUrl", "status", "source", "externalId", "ownerId", "summary", "nextAction",
    "metadata", "createdAt", "updatedAt",
)  # fmt: skip
_ADDRESS = ("street", "city", "state", "postcode", "country")
BYTE_ORDER_MARK = "\ufeff"


def header(*, bom: bool) -> bytes:
    return ((BYTE_ORDER_MARK if bom else "") + csv_line(COLUMNS)).encode()


def lines(rows: Sequence[Any]) -> bytes:
    """These rows of `queries.walk` as CSV."""
    return "".join(csv_line(_values(row)) for row in rows).encode()


def _values(row: Any) -> list[str]:
    address = row.address or {}
    return [
        str(row.id),
        row.first_name,
        row.last_name,
        row.email or "",
        row.phone or "",
        *(_text(address.get(part)) for part in _ADDRESS),
        row.date_of_birth.isoformat() if row.date_of_birth else "",
        row.nationality or "",
        row.gender or "",
        row.picture_url or "",
        row.status,
        row.source,
        row.external_id or "",
        str(row.owner_id) if row.owner_id else "",
        row.summary or "",
        row.next_action or "",
        orjson.dumps(row.meta).decode() if row.meta else "",
        _time(row.created_at),
        _time(row.updated_at),
    ]


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
