"""One POST to an address that came through the API.

A name is looked up once and judged, and exactly the address that was judged is connected to; the name stays in `Host`
and in TLS, whose certificate must fit it. No redirect is followed, no proxy and no cookie is used, no connection is
kept, and of the answer only the status and `Retry-After` are kept.
"""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import httpcore
import httpx

from contactship_common.outbound.addresses import Network, is_allowed
from contactship_common.outbound.resolving import Resolver, resolve
from contactship_common.outbound.retry_after import retry_after_seconds

_CONNECT_SECONDS = 5.0
"""For one address; a name may have several, and all of them share the time of the whole call."""
_READ_AT_MOST_BYTES = 8 * 1024
_READ_SECONDS = 1.0
_USER_AGENT = "Contactship-Webhooks/1"


@dataclass(frozen=True, slots=True)
class Answer:
    """How one attempt went. `error` is null for a 2xx: `timeout`, `address_not_allowed`, `name_not_resolved`,
    `connection_failed`, `tls_failed`, `connection_lost`, `redirected`, `gone`, `refused`, or `bad_url`."""

    status: int | None
    error: str | None
    ms: int
    retry_after_seconds: float | None = None


class AddressNotAllowed(Exception):
    """Every address of the name is private, local or reserved."""


class NameNotResolved(Exception):
    """The name has no address."""


class _CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to names by way of addresses that were judged."""

    def __init__(self, allow: Sequence[Network], resolver: Resolver) -> None:
        self._allow = allow
        self._resolve = resolver
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            found = await self._resolve(host, port)
        except OSError:
            raise NameNotResolved from None
        addresses = [address for address in found if is_allowed(address, self._allow)]
        if not addresses:
            raise AddressNotAllowed if found else NameNotResolved
        for number, address in enumerate(addresses, 1):
            try:
                return await self._network.connect_tcp(str(address), port, timeout=timeout)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if number == len(addresses):
                    raise
        raise AssertionError("unreachable")

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        raise AddressNotAllowed


class OutboundClient:
    """Shared by all deliveries of a process. `allow`: private networks that may be reached all the same."""

    def __init__(
        self,
        *,
        allow: Sequence[Network] = (),
        timeout_seconds: float = 15.0,
        ssl_context: ssl.SSLContext | None = None,
        resolver: Resolver = resolve,
    ) -> None:
        self._timeout = timeout_seconds
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl_context or httpx.create_ssl_context(),
            network_backend=_CheckedNetwork(allow, resolver),
            max_connections=None,
            max_keepalive_connections=0,
        )

    async def aclose(self) -> None:
        await self._pool.aclose()

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> Answer:
        """Send `body` once and say how it went."""
        started = time.perf_counter()
        status, retry_after = None, None
        try:
            async with asyncio.timeout(self._timeout):
                status, retry_after = await self._send(url, body, headers)
            error = _judge(status)
        except Exception as raised:
            error = _code_of(raised)
        return Answer(status, error, round((time.perf_counter() - started) * 1000), retry_after)

    async def _send(self, url: str, body: bytes, headers: dict[str, str]) -> tuple[int, float | None]:
        parsed = httpx.URL(url)
        target = httpcore.URL(
            scheme=parsed.raw_scheme, host=parsed.raw_host, port=parsed.port, target=parsed.raw_path or b"/"
        )
        sent = {"user-agent": _USER_AGENT, "content-type": "application/json", "accept": "*/*", "connection": "close"}
        limits = {"timeout": {"connect": min(_CONNECT_SECONDS, self._timeout)}}
        async with self._pool.stream(
            "POST", target, headers=list({**sent, **headers}.items()), content=body, extensions=limits
        ) as answer:
            found = {name.lower(): value for name, value in answer.headers}
            await _throw_away(answer)
            return answer.status, retry_after_seconds(found.get(b"retry-after", b"").decode("latin-1"))


async def _throw_away(answer: httpcore.Response) -> None:
    """Read the beginning of the body, so that a receiver that is still writing it sees no reset. The status is known:
    nothing that happens here changes it."""
    left = _READ_AT_MOST_BYTES
    with contextlib.suppress(TimeoutError, httpcore.NetworkError, httpcore.ProtocolError):
        async with asyncio.timeout(_READ_SECONDS):
            async for part in answer.aiter_stream():
                left -= len(part)
                if left <= 0:
                    break


def _judge(status: int) -> str | None:
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return "redirected"
    return "gone" if status == 410 else "refused"


def _code_of(error: Exception) -> str:
    match error:
        case TimeoutError() | httpcore.TimeoutException():
            return "timeout"
        case AddressNotAllowed():
            return "address_not_allowed"
        case NameNotResolved():
            return "name_not_resolved"
        case httpcore.ConnectError():
            return "tls_failed" if _is_tls(error) else "connection_failed"
        case httpcore.NetworkError() | httpcore.ProtocolError() | ssl.SSLError() | OSError():
            return "connection_lost"
        case httpcore.UnsupportedProtocol() | httpx.InvalidURL() | ValueError():
            return "bad_url"
    raise error


def _is_tls(error: BaseException) -> bool:
    """TLS is why a connection failed, however deep below it says so."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    return cause is not None
