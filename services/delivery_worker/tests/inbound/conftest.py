"""The inbox in this process: put a webhook in, have it handled, look at the rows."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from inbound_testkit import Inbox

from contactship_common.runtime import Runtime


@pytest.fixture
def inbox(runtime: Runtime, sql: Callable[..., Awaitable[list[dict[str, Any]]]]) -> Inbox:
    return Inbox(runtime, sql)
