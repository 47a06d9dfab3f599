"""Asking sources over HTTP: limited in time and size, tried again where that helps, and never sent elsewhere."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import orjson
import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_exponential_jitter

from contactship_common import tracing
from contactship_common.settings import SyncSettings
from contactship_common.tasks.outcomes import Permanent, RetryLater

log = structlog.get_logger()

TRIES = 3
LONGEST_PAUSE_SECONDS = 20.0
"""A `Retry-After` beyond this gives the task back to the queue instead of holding a worker's thread."""
LONGEST_RETRY_AFTER_SECONDS = 900.0

_CONNECT_SECONDS = 5.0
_READ_SECONDS = 10.0
_AGAIN = frozenset({408, 425, 429})
_HEADERS = {
    "User-Agent": "contactship-sync",
    "Accept": "application/json",
    # A small compressed answer can be an enormous one; uncompressed, what is counted is what arrives.
    "Accept-Encoding": "identity",
}

Sleep = Callable[[float], Awaitable[None]]


class _TryAgain(Exception):
    """This try failed and another may not."""

    def __init__(self, code: str, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after_seconds = retry_after_seconds


class SourceHttp:
    """The client that all adapters of a process share. `sleep` is how it waits between tries.

    Redirects are not followed: a source could send us to an address that only we can reach.
    """

    def __init__(self, settings: SyncSettings, *, sleep: Sleep = asyncio.sleep) -> None:
        self._settings = settings
        self._sleep = sleep
        self._backoff = wait_exponential_jitter(
            initial=settings.sync_retry_wait, max=LONGEST_PAUSE_SECONDS, jitter=settings.sync_retry_wait / 2
        )
        self._client = httpx.AsyncClient(
            follow_redirects=False,
            timeout=httpx.Timeout(_READ_SECONDS, connect=_CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=32, max_keepalive_connections=8),
            headers=_HEADERS,
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    async def get_json(
        self, url: str, *, params: dict[str, Any] | None = None, headers: dict[str, str] | None = None
    ) -> Any:
        """What the source answers. `params` are added to those of the URL.

        Raises:
            Permanent: unreachable after three tries, refused, redirected, too long, or not JSON; says which, and
                repeats nothing of the URL or the answer.
            RetryLater: the source asked for a pause of more than 20 s.
        """
        body = b""
        tries = AsyncRetrying(
            stop=stop_after_attempt(TRIES),
            wait=self._pause,
            retry=retry_if_exception_type(_TryAgain),
            sleep=self._sleep,
            reraise=True,
        )
        try:
            async for attempt in tries:
                with attempt:
                    body = await self._get(httpx.URL(url).copy_merge_params(params or {}), headers or {})
        except _TryAgain as error:
            if error.retry_after_seconds is not None and error.retry_after_seconds > LONGEST_PAUSE_SECONDS:
                raise self._later(error) from None
            raise Permanent(error.code, f"{error.message} ({TRIES} tries)") from None
        return await asyncio.to_thread(_decode, body)

    def _pause(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        log.info("source.retried", attempt=state.attempt_number, reason=getattr(error, "code", None))
        if isinstance(error, _TryAgain) and error.retry_after_seconds is not None:
            if error.retry_after_seconds > LONGEST_PAUSE_SECONDS:
                raise self._later(error)
            return error.retry_after_seconds
        return self._backoff(state)

    @staticmethod
    def _later(error: _TryAgain) -> RetryLater:
        delay = min(error.retry_after_seconds or 0.0, LONGEST_RETRY_AFTER_SECONDS)
        return RetryLater(error.code, error.message, delay_seconds=delay)

    async def _get(self, url: httpx.URL, headers: dict[str, str]) -> bytes:
        """One try."""
        try:
            with tracing.span("GET", "client", {"http.request.method": "GET", "server.address": url.host}) as span:
                async with asyncio.timeout(self._settings.sync_timeout):
                    async with self._client.stream("GET", url, headers=headers) as answer:
                        span.note({"http.response.status_code": answer.status_code})
                        _check(answer)
                        return await self._read(answer)
        except (TimeoutError, httpx.TimeoutException):
            raise _TryAgain("source_timeout", "the source did not answer in time") from None
        except httpx.TransportError as error:
            raise _TryAgain("source_unreachable", f"the source cannot be reached: {type(error).__name__}") from None
        except (httpx.InvalidURL, httpx.HTTPError) as error:
            raise Permanent("source_broken", f"the source cannot be asked: {type(error).__name__}") from None

    async def _read(self, answer: httpx.Response) -> bytes:
        limit = self._settings.sync_max_body_bytes
        body = bytearray()
        async for part in answer.aiter_raw():
            body += part
            if len(body) > limit:
                raise Permanent("source_answer_too_long", f"the source's answer is longer than {limit} bytes")
        return bytes(body)


def _check(answer: httpx.Response) -> None:
    status = answer.status_code
    if status in _AGAIN or status >= 500:
        wait = _retry_after_seconds(answer.headers.get("retry-after"))
        raise _TryAgain("source_unavailable", f"the source answered with status {status}", wait)
    if answer.is_redirect:
        raise Permanent("source_redirected", f"the source answered with a redirect (status {status}); not followed")
    if status != 200:
        raise Permanent("source_refused", f"the source answered with status {status}")
    if answer.headers.get("content-encoding", "identity").lower() != "identity":
        raise Permanent("source_compressed", "the source compressed its answer although it was asked not to")


def _retry_after_seconds(text: str | None) -> float | None:
    """`Retry-After` in seconds, from a number or a date."""
    if not text:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def _decode(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    # NaN or half a surrogate pair in one record must not cost the others: Python's decoder lets them through, and
    # the record that has one is refused later.
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise Permanent("source_not_json", "the source's answer is not JSON") from None
