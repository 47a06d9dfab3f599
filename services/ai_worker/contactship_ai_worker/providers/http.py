"""The HTTP client under both SDKs."""

import itertools
import math
from typing import Any

import httpx2

_CONNECTIONS_A_POOL = 32


class SpreadClient(httpx2.AsyncClient):
    """Spreads requests over several connection pools.

    A pool looks at each of its connections whenever a request starts or ends: with 256 of them that look costs more
    than everything else a call does. `connections` is how many stay open when idle; how many are in flight is the
    engine's business (AI_CONCURRENCY), so a call never waits here.
    """

    def __init__(self, *, connections: int, timeout_seconds: float) -> None:
        options: dict[str, Any] = {
            "verify": httpx2.create_ssl_context(),  # shared: loading the certificates takes longer than a call
            "limits": httpx2.Limits(max_connections=None, max_keepalive_connections=_CONNECTIONS_A_POOL),
            "timeout": timeout_seconds,
            "follow_redirects": True,
        }
        super().__init__(**options)
        self._pools = [httpx2.AsyncClient(**options) for _ in range(math.ceil(connections / _CONNECTIONS_A_POOL))]
        self._turns = itertools.cycle(self._pools)

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        return await next(self._turns).send(request, **options)

    async def aclose(self) -> None:
        for pool in self._pools:
            await pool.aclose()
        await super().aclose()
