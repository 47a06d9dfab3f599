"""Fixtures of the tests of accounts and access; those of the gateway are in the folder above.

audited     the rows of the audit log, oldest first, of these actions
"""

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

Audited = Callable[..., Awaitable[list[dict[str, Any]]]]


@pytest.fixture
def audited(sql: Any) -> Audited:
    async def rows(*actions: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await sql(
            "SELECT * FROM audit_logs WHERE cardinality(%s::text[]) = 0 OR action = ANY(%s) ORDER BY id",
            list(actions),
            list(actions),
        )
        return found

    return rows
