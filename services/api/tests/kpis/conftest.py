"""Fixtures of the KPIs' tests. Helpers are in `kpi_testkit`, beside this file.

crm    clients, sellers, meetings and classifications of this test, written by SQL, and the KPIs read from them
"""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from kpi_testkit import Crm  # needs the path above

from contactship_common.db import Database
from contactship_common.settings import CoreSettings


@pytest.fixture
async def crm(database_url: str) -> AsyncIterator[Crm]:
    db = Database(CoreSettings(database_url=database_url))
    await db.open()
    async with Crm.open(database_url, db) as crm:
        yield crm
    await db.close()
