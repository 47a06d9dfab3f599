"""Asking for codes, reading them as the person with the phone does, and checking them."""

from typing import Any

import httpx
from api_testkit import Api, Sql

from contactship_common.contact_center.otp_codes import code_of

SECRET = "otp-secret-of-the-tests-0123456789abcdef"
PHONE = "+5491155551234"
PURPOSE = "LOGIN_2FA"


class Codes:
    """No worker runs here: a code stays PENDING, and `code` computes what its SMS would say."""

    def __init__(self, api: Api, sql: Sql) -> None:
        self.api = api
        self.sql = sql

    async def ask(
        self, phone: str = PHONE, *, client: httpx.AsyncClient | None = None, headers: Any = None, **body: Any
    ) -> httpx.Response:
        body = {"phone": phone, "purpose": PURPOSE} | body
        return await (client or self.api.root).post("/api/v1/otp", json=body, headers=headers)

    async def new(self, phone: str = PHONE, **body: Any) -> str:
        """A new code; returns its correlationId."""
        answer = await self.ask(phone, **body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["correlationId"])

    async def code(self, correlation_id: str) -> str:
        return code_of(SECRET, bytes((await self.challenge(correlation_id))["nonce"]))

    async def wrong(self, correlation_id: str) -> str:
        return f"{(int(await self.code(correlation_id)) + 1) % 1_000_000:06}"

    async def verify(self, correlation_id: str, otp: Any, **options: Any) -> httpx.Response:
        body = {"correlationId": correlation_id, "otp": otp}
        client = options.pop("client", self.api.root)
        return await client.post("/api/v1/otp/verify", json=body, **options)  # type: ignore[no-any-return]

    async def guess_wrong(self, correlation_id: str, times: int = 1) -> str:
        """Guess so often; returns the code of the last refusal."""
        told = ""
        for _ in range(times):
            answer = await self.verify(correlation_id, await self.wrong(correlation_id))
            assert answer.status_code == 400, answer.text
            told = answer.json()["code"]
        return told

    async def challenge(self, correlation_id: str) -> dict[str, Any]:
        [row] = await self.sql("SELECT * FROM otp_challenges WHERE correlation_id = %s", correlation_id)
        return row

    async def status(self, correlation_id: str) -> str:
        return str((await self.challenge(correlation_id))["status"])

    async def interaction(self, correlation_id: str) -> dict[str, Any]:
        interaction_id = (await self.challenge(correlation_id))["interaction_id"]
        [row] = await self.sql("SELECT * FROM interactions WHERE id = %s", interaction_id)
        return row

    async def limits(self, phone: str = PHONE, purpose: str = PURPOSE) -> tuple[int, int]:
        """Codes and wrong guesses that are counted."""
        rows = await self.sql(
            "SELECT sent, wrong FROM otp_limits WHERE phone_e164 = %s AND purpose = %s", phone, purpose
        )
        return (rows[0]["sent"], rows[0]["wrong"]) if rows else (0, 0)

    async def refusals(self) -> list[str]:
        """The codes of the refusals that were audited, in their order."""
        rows = await self.sql("SELECT data->>'code' AS code FROM audit_logs WHERE action = 'otp.refused' ORDER BY id")
        return [row["code"] for row in rows]

    async def sendings(self) -> int:
        """How many SMS were ordered."""
        [row] = await self.sql("SELECT count(*) AS n FROM tasks WHERE kind = 'delivery.send'")
        [same] = await self.sql("SELECT count(*) AS n FROM deliveries WHERE otp_challenge_id IS NOT NULL")
        assert row["n"] == same["n"]
        return int(row["n"])

    async def window_passes(self) -> None:
        await self.sql("UPDATE otp_limits SET window_started_at = window_started_at - interval '901 seconds'")

    async def life_passes(self, correlation_id: str) -> None:
        await self.sql(
            "UPDATE otp_challenges SET expires_at = clock_timestamp() - interval '1 second' WHERE correlation_id = %s",
            correlation_id,
        )
