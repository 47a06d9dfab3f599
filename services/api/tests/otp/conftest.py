"""Fixtures of the tests of one-time codes. Helpers are in `otp_testkit`, beside this file.

codes       the application with OTP_SECRET set, and what a caller and the person with the phone do
make_codes  the same with settings of the contact centre given by field name: `await make_codes(otp_ttl_seconds=60)`
"""

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from api_testkit import MakeApi, Sql

sys.path.insert(0, str(Path(__file__).parent))

from otp_testkit import SECRET, Codes  # needs the path above

from contactship_common.settings import ContactCenterSettings

MakeCodes = Callable[..., Awaitable[Codes]]


@pytest.fixture
def make_codes(make_api: MakeApi, sql: Sql) -> MakeCodes:
    async def make(*, api: dict[str, Any] | None = None, **settings: Any) -> Codes:
        made = await make_api(**({"otp_verify_limit_per_address": 100_000} | (api or {})))
        made.gateway.contact_center = ContactCenterSettings(**({"otp_secret": SECRET} | settings))
        return Codes(made, sql)

    return make


@pytest.fixture
async def codes(make_codes: MakeCodes) -> Codes:
    return await make_codes()
