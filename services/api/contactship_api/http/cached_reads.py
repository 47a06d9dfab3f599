"""Answers from the cache before anything is routed.

A hit needs neither routing nor dependencies, which are two thirds of what such a request costs. Everything that a hit
must be preceded by happens here as it does in `ApiRoute`: authentication, counting, the right. Whatever is not a plain
hit goes on to its route with what is known by now, so that nothing is asked or counted twice.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from re import Pattern

from starlette.requests import Request
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from contactship_api.access.requires import Requires
from contactship_api.gateway import Gateway
from contactship_api.http.aliases import API
from contactship_api.http.conditional import unpacked
from contactship_api.http.ratelimit import MISSING, Counted, count_request
from contactship_api.http.route import ApiRoute
from contactship_common import metrics
from contactship_common.errors import Unauthenticated

_DECIDED_BY_THE_ROUTE = frozenset({b"if-none-match", b"idempotency-key", b"content-length", b"transfer-encoding"})
"""A request with one of these is not the plain read that is answered here."""


@dataclass(frozen=True, slots=True)
class _Read:
    route: ApiRoute
    path: Pattern[str]
    key_of: Callable[[dict[str, str]], str | None]
    requirement: Requires


def _reads(routes: Iterable[object]) -> list[_Read]:
    found = []
    for route in routes:
        if isinstance(route, ApiRoute) and route.cache_key_of is not None and route.requirement is not None:
            path, _, _ = compile_path(API + route.path)
            found.append(_Read(route, path, route.cache_key_of, route.requirement))
    return found


class CachedReads:
    """ASGI middleware, the innermost; `routes` are all of the API, without the common prefix."""

    def __init__(self, app: ASGIApp, *, gateway: Gateway, routes: Iterable[object]) -> None:
        self.app = app
        self._gateway = gateway
        self._reads = _reads(routes) if gateway.core.default_cache_ttl else []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or scope["query_string"]:
            await self.app(scope, receive, send)
            return
        for read in self._reads:
            if (match := read.path.match(scope["path"])) is not None:
                answered = await self._answer(read, match.groupdict(), scope, receive, send)
                if answered:
                    return
                break
        await self.app(scope, receive, send)

    async def _answer(self, read: _Read, path: dict[str, str], scope: Scope, receive: Receive, send: Send) -> bool:
        """Whether it was a hit, which then has been sent."""
        key = read.key_of(path)
        if key is None or any(name in _DECIDED_BY_THE_ROUTE for name, _ in scope["headers"]):
            return False
        request = Request(scope)
        if self._gateway.authenticator.asks_the_database(request):
            return False
        try:
            principal = await self._gateway.authenticator.principal(request)
        except Unauthenticated:
            return False
        if principal is None or not read.requirement.allows(principal):
            return False
        rate, value = await count_request(self._gateway.counting, self._gateway.settings, principal.actor, key)
        state = scope["state"]
        state["counted"] = Counted(principal, rate, value)
        if value is None or value is MISSING or (rate is not None and rate.exceeded):
            return False
        state["principal"], state["rate"] = principal, rate
        scope["route"] = read.route
        metrics.CACHE.labels("hit").inc()
        await unpacked(value, {"X-Cache": "hit"})(scope, receive, send)
        return True
