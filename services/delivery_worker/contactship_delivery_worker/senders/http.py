"""One POST to a vendor, and what its end means for "was it sent?"."""

from typing import Any

import httpx

from contactship_common.outbound.retry_after import retry_after_seconds
from contactship_common.tasks.outcomes import Permanent, RetryLater, Transient
from contactship_delivery_worker.senders.base import nobody_knows

_TIMEOUT = httpx.Timeout(20.0, connect=5.0)
_LONGEST_WAIT_SECONDS = 900.0
_LARGEST_ANSWER_BYTES = 256 * 1024


def make_client(base_url: str, **options: Any) -> httpx.AsyncClient:
    """A client for one vendor: no redirects, no proxies or credentials from the environment."""
    return httpx.AsyncClient(base_url=base_url, timeout=_TIMEOUT, follow_redirects=False, trust_env=False, **options)


async def post(client: httpx.AsyncClient, path: str, **content: Any) -> httpx.Response:
    """The vendor's answer, 2xx or 4xx; other ends are raised as what they mean.

    Raises:
        Transient: no connection was made, so nothing was sent.
        RetryLater: 429 or 503; nothing was sent.
        Permanent: `unknown` for everything after the request has left without a clear answer.
    """
    try:
        response = await client.post(path, **content)
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        raise Transient("provider_unreachable", f"no connection ({type(error).__name__})") from None
    except httpx.HTTPError as error:
        raise nobody_knows(f"the provider did not answer ({type(error).__name__})") from None
    if response.status_code in (429, 503):
        wait = min(max(retry_after_seconds(response.headers.get("retry-after")) or 5.0, 1.0), _LONGEST_WAIT_SECONDS)
        raise RetryLater("provider_busy", "the provider asks to come back later", delay_seconds=wait)
    if response.status_code >= 500 or response.is_redirect:
        raise nobody_knows(f"the provider answered {response.status_code}")
    return response


def answer(response: httpx.Response) -> dict[str, Any]:
    """The JSON object of an answer; {} where there is none."""
    if len(response.content) > _LARGEST_ANSWER_BYTES:
        return {}
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def refused(code: object, message: object, status: int) -> Permanent:
    """The vendor's own words about why it will not send, cut to what may be shown."""
    return Permanent(
        str(code or f"http_{status}")[:64], " ".join(str(message or "The provider refused it").split())[:300]
    )
