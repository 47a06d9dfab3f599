"""URLs that came through the API: which may be stored, judged before anything is sent to them.

This is the polite half, an early answer for the client. What decides is the look at the address that is connected to,
in `client.py`: between the two a name may change its address.
"""

import asyncio
import ipaddress
import re
from collections.abc import Sequence

import httpx

from contactship_common.errors import UrlNotAllowed
from contactship_common.outbound import resolving
from contactship_common.outbound.addresses import Address, Network, is_allowed
from contactship_common.settings.core import CoreSettings, Environment

MAX_URL_LENGTH = 2_048
_LOOK_UP_SECONDS = 2.0
_UNFIT = re.compile(r"[\s\x00-\x1f\x7f\\]")
_NUMERIC = re.compile(r"(?:0x[0-9a-f]*|\d+)", re.IGNORECASE)
_LOCAL_NAMES = frozenset({"localhost", "local", "internal", "localdomain"})


def http_allowed(settings: CoreSettings) -> bool:
    """Plain http is for development and tests."""
    return settings.environment in {Environment.DEVELOPMENT, Environment.TEST}


def check_url(text: str, *, http: bool, allow: Sequence[Network] = ()) -> httpx.URL:
    """The URL, if its form permits sending to it; names are not looked up. `http`: plain http will do.

    Raises:
        UrlNotAllowed: says why.
    """
    if len(text) > MAX_URL_LENGTH:
        raise UrlNotAllowed(f"The URL is longer than {MAX_URL_LENGTH} characters")
    if _UNFIT.search(text):
        raise UrlNotAllowed("The URL contains blanks, control characters or backslashes")
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError, TypeError):
        raise UrlNotAllowed("This is not a URL") from None
    if url.scheme != "https" and not (http and url.scheme == "http"):
        raise UrlNotAllowed("The URL must start with https://" + (" or http://" if http else ""))
    if url.userinfo or "@" in url.netloc.decode("ascii"):
        raise UrlNotAllowed("The URL must not contain a user name or password")
    if "#" in text:
        raise UrlNotAllowed("The URL must not contain a fragment")
    if url.port is not None and not 1 <= url.port <= 65_535:
        raise UrlNotAllowed("The URL's port must be between 1 and 65535")
    if len(str(url)) > MAX_URL_LENGTH:
        raise UrlNotAllowed(f"The URL is longer than {MAX_URL_LENGTH} characters when it is encoded")
    _check_host(url.raw_host.decode("ascii"), allow)
    return url


def literal(host: str) -> Address | None:
    """The address that a host spells out in the usual form, with or without brackets; None for names."""
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _check_host(raw: str, allow: Sequence[Network]) -> None:
    host = raw.rstrip(".").lower()
    labels = host.split(".")
    if not host or (":" not in host and not all(0 < len(label) <= 63 for label in labels)):
        raise UrlNotAllowed("The URL has no valid host name")
    address = literal(host)
    if address is not None:
        if not is_allowed(address, allow):
            raise UrlNotAllowed("The URL's address is private, local or reserved")
    elif ":" in host or _NUMERIC.fullmatch(labels[-1]):
        # 2130706433, 0x7f.1 and 127.1 are addresses too, for some; nobody needs them.
        raise UrlNotAllowed("The URL's address must be written in its usual form")
    elif labels[-1] in _LOCAL_NAMES and not allow:
        raise UrlNotAllowed("The URL's host name is local")


async def accept_url(settings: CoreSettings, text: str) -> str:
    """The URL in its normal form, if it may be stored: `check_url`, and a look at where its name leads today.

    A name that cannot be looked up within two seconds is accepted; sending to it will tell.

    Raises:
        UrlNotAllowed: says why.
    """
    allow = settings.outbound_networks
    url = check_url(text, http=http_allowed(settings), allow=allow)
    host = url.raw_host.decode("ascii")
    if literal(host) is None:
        try:
            async with asyncio.timeout(_LOOK_UP_SECONDS):
                found = await resolving.resolve(host, url.port or 443)
        except (OSError, TimeoutError):
            found = []
        if found and not any(is_allowed(address, allow) for address in found):
            raise UrlNotAllowed("The URL's host name leads to a private, local or reserved address")
    return str(url)
