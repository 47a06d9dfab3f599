"""One POST to a vendor, and what its end means for "was it sent?"."""

from typing import Any

import httpx

from contactship_common import tracing
from contactship_common.masking import mask_pii
from contactship_common.outbound.retry_after import retry_after_seconds
from contactship_common.tasks.outcomes import Permanent, RetryLater, Transient
from contactship_delivery_worker.senders.base import Outgoing, nobody_knows

_TIMEOUT = httpx.Timeout(20.0, connect=5.0)
_LONGEST_WAIT_SECONDS = 900.0
_USUAL_WAIT_SECONDS = 5.0
_LARGEST_ANSWER_BYTES = 256 * 1024
_SHORTEST_TEXT = 4


def make_client(base_url: str, **options: Any) -> httpx.AsyncClient:
    """A client for one vendor: no redirects, no proxies or credentials from the environment."""
    return httpx.AsyncClient(base_url=base_url, timeout=_TIMEOUT, follow_redirects=False, trust_env=False, **options)


async def post(client: httpx.AsyncClient, path: str, **content: Any) -> httpx.Response:
    """The vendor's answer, 2xx or 4xx; other ends are raised as what they mean.

    Raises:
        Transient: no connection was made, so nothing was sent.
        RetryLater: 429, or 503 with `Retry-After`: nothing was sent, and the vendor says so.
        Permanent: `unknown` for everything after the request has left without a clear answer. A 503 that names no
            time is one: proxies answer so when they lost the vendor after handing it the request.
    """
    try:
        # The vendor is told nothing of our trace, and the span nothing of the address called: it names the account.
        with tracing.span("POST", "client", {"server.address": client.base_url.host}) as span:
            response = await client.post(path, **content)
            span.note({"http.request.method": "POST", "http.response.status_code": response.status_code})
            if response.status_code >= 400:
                span.fail(str(response.status_code))
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        raise Transient("provider_unreachable", f"no connection ({type(error).__name__})") from None
    except httpx.HTTPError as error:
        raise nobody_knows(f"the provider did not answer ({type(error).__name__})") from None
    asked = retry_after_seconds(response.headers.get("retry-after"))
    if response.status_code == 429 or (response.status_code == 503 and asked is not None):
        wait = min(max(asked if asked is not None else _USUAL_WAIT_SECONDS, 1.0), _LONGEST_WAIT_SECONDS)
        raise RetryLater("provider_busy", "the provider asks to come back later", delay_seconds=wait)
    if not (response.is_success or response.is_client_error):
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


def refused(code: object, message: object, status: int, about: Outgoing) -> Permanent:
    """The vendor's own words about why it will not send, without what was to be sent and to whom."""
    told = code if isinstance(code, str | int) and str(code).strip() else ""
    named = str(told).strip()[:64] or f"http_{status}"
    if named == "unknown":  # a word of ours, and it means something else
        named = "refused"
    words = message if isinstance(message, str) and message.strip() else "The provider refused it"
    return Permanent(named, in_words(words, about))


def in_words(words: str, about: Outgoing) -> str:
    """A vendor's text, cut to what may be shown: vendors repeat numbers and texts in their errors."""
    for part in (about.text, about.media_url or "", about.to, about.to.lstrip("+"), about.secret):
        if len(part) >= _SHORTEST_TEXT:
            words = words.replace(part, "***")
    return mask_pii(" ".join(words.split()))[:300]
