"""The route class of every endpoint: who may call, what may come in, and what the document says about it.

In this order, each before the next costs anything: authenticate, count the request, authorise, refuse unknown query
parameters, decode the body, then FastAPI's own work. The finished answer is left on `request.state.response`, where
the unit of work finds it when it commits.
"""

from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from contactship_api.access.permissions import Principal
from contactship_api.access.requires import Requires
from contactship_api.gateway import Gateway
from contactship_api.http import docs
from contactship_api.http.aliases import API
from contactship_api.http.body import decode_into
from contactship_api.http.idempotency import Replay
from contactship_api.http.login_limits import network_of
from contactship_api.http.problems import MOST_ERRORS, Invalid, literal_paths, place
from contactship_api.http.ratelimit import MISSING, Counted, Rate, count_request
from contactship_common.errors import ContactshipError, TooManyRequests, Unauthenticated

F = TypeVar("F", bound=Callable[..., Any])
Handler = Callable[[Request], Coroutine[Any, Any, Response]]
CacheKeyOf = Callable[[dict[str, str]], str | None]

_PUBLIC = "__contactship_public__"
_UNLIMITED = "__contactship_unlimited__"
_CACHE_KEY = "__contactship_cache_key__"
_PROBLEMS = "__contactship_problems__"
_STREAMS_BODY = "__contactship_streams_body__"
_ANY_QUERY = "__contactship_any_query__"


def public(endpoint: F) -> F:
    """Anybody may call this."""
    setattr(endpoint, _PUBLIC, True)
    return endpoint


def unlimited(endpoint: F) -> F:
    """Not counted against the caller's rate limit."""
    setattr(endpoint, _UNLIMITED, True)
    return endpoint


def streams_body(endpoint: F) -> F:
    """This endpoint reads its body itself, as it arrives."""
    setattr(endpoint, _STREAMS_BODY, True)
    return endpoint


def any_query(endpoint: F) -> F:
    """Callers choose their own query parameters, as webhooks do."""
    setattr(endpoint, _ANY_QUERY, True)
    return endpoint


def cached_under(key_of: CacheKeyOf) -> Callable[[F], F]:
    """Look this key up in the same round trip that counts the request; found in `request.state.cached`. What is kept
    under it is an answer as `conditional.packed` makes it, good for everybody who has the operation's right: a hit is
    answered without calling the endpoint (`cached_reads`)."""

    def mark(endpoint: F) -> F:
        setattr(endpoint, _CACHE_KEY, key_of)
        return endpoint

    return mark


def raises(*errors: type[ContactshipError]) -> Callable[[F], F]:
    """Document the problems this endpoint can answer with, besides those that its parameters imply."""

    def mark(endpoint: F) -> F:
        setattr(endpoint, _PROBLEMS, errors)
        return endpoint

    return mark


def _flatten(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for child in dependant.dependencies:
        yield from _flatten(child)


def requirement_of(dependant: Dependant) -> Requires | None:
    """The one right that this operation declares, if it does."""
    found = [d.call for d in _flatten(dependant) if isinstance(d.call, Requires)]
    if len(found) > 1:
        raise TypeError(f"{dependant.path}: one operation declares one requirement")
    return found[0] if found else None


def _query_names(dependant: Dependant) -> frozenset[str]:
    names: set[str] = set()
    for part in _flatten(dependant):
        for parameter in part.query_params:
            annotation = parameter.field_info.annotation
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                names.update(field.alias or name for name, field in annotation.model_fields.items())
            else:
                names.add(parameter.alias)
    return frozenset(names)


class ApiRoute(APIRoute):
    """See the module. An operation that is neither `@public` nor declares a requirement cannot be registered."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        problems: tuple[type[ContactshipError], ...] = getattr(endpoint, _PROBLEMS, ())
        super().__init__(path, endpoint, **options)
        self.is_public = getattr(endpoint, _PUBLIC, False)
        self.requirement = requirement_of(self.dependant)
        if not self.is_public and self.requirement is None:
            raise TypeError(f"{path}: declare who may call it (who: LeadsRead, …) or mark it @public")
        self.cache_key_of: CacheKeyOf | None = getattr(endpoint, _CACHE_KEY, None)
        implied = docs.implied_problems(
            self.dependant,
            has_body=self.body_field is not None,
            writes=bool((self.methods or set()) - {"GET", "HEAD"}),
            needs_login=self.requirement is not None,
            may_be_forbidden=self.requirement is not None and self.requirement.scope is not None,
            limited=not getattr(endpoint, _UNLIMITED, False),
        )
        self.responses = {**docs.problem_responses({*implied, *problems}), **self.responses}

    def get_route_handler(self) -> Handler:
        inner = super().get_route_handler()
        dependant = self.dependant
        requirement = requirement_of(dependant)
        query_names = _query_names(dependant)
        limited = not getattr(self.endpoint, _UNLIMITED, False)
        key_of: CacheKeyOf | None = getattr(self.endpoint, _CACHE_KEY, None)
        has_body = self.body_field is not None
        streams_body = getattr(self.endpoint, _STREAMS_BODY, False)
        any_query = getattr(self.endpoint, _ANY_QUERY, False)

        async def handle(request: Request) -> Response:
            gateway: Gateway = request.app.state.gateway
            if request.path_params and request.scope["path"] in literal_paths(request.app):
                raise HTTPException(405)
            principal: Principal | None = None
            refused: Unauthenticated | None = None
            counted: Counted | None = getattr(request.state, "counted", None)
            if counted is not None:
                principal = counted.principal
            elif requirement is not None:
                if limited and gateway.authenticator.asks_the_database(request):
                    # Made-up keys are counted before they cost a query.
                    await count(gateway, request, None)
                try:
                    principal = await gateway.authenticator.principal(request)
                except Unauthenticated as error:
                    refused = error
            request.state.principal = principal
            request.state.cached = MISSING
            if counted is not None:
                _take(request, counted.rate, counted.cached)
            elif limited:
                lookup = key_of(request.path_params) if key_of and gateway.core.default_cache_ttl else None
                await count(gateway, request, principal, lookup)
            if refused is not None:
                raise refused
            if requirement is not None:
                requirement.check(principal)
            if not any_query:
                _check_query(request, query_names)
            if has_body:
                await decode_into(request)
            elif not streams_body:
                await _check_no_body(request)
            try:
                response = await inner(request)
            except Replay as replay:
                return replay.response
            request.state.response = response
            return response

        return handle


def _check_query(request: Request, known: frozenset[str]) -> None:
    wrong = []
    for name, value in request.query_params.multi_items():
        if name not in known:
            wrong.append((name, "There is no such query parameter", "extra_forbidden"))
        elif "\x00" in value:
            wrong.append((name, "NUL characters are not accepted", "nul_character"))
    if wrong:
        raise Invalid([{"path": place(("query", n)), "message": m, "code": c} for n, m, c in wrong[:MOST_ERRORS]])


async def _check_no_body(request: Request) -> None:
    """A body where none is expected is a misunderstanding that should not pass in silence; `{}` says nothing."""
    if request.method == "GET" or (await request.body()).strip() in (b"", b"{}"):
        return
    raise Invalid([{"path": "body", "message": "This operation takes no body", "code": "extra_forbidden"}])


async def count(gateway: Gateway, request: Request, principal: Principal | None, lookup: str | None = None) -> None:
    """Count the request against its caller, and read the cache's key `lookup` in the same round trip.

    Raises:
        TooManyRequests
    """
    caller = principal.actor if principal else f"ip:{network_of(request.scope['contactship.ip'])}"
    _take(request, *await count_request(gateway.counting, gateway.settings, caller, lookup))


def _take(request: Request, rate: Rate | None, cached: Any) -> None:
    request.state.cached = cached
    if rate is not None:
        request.state.rate = rate
        if rate.exceeded:
            raise TooManyRequests(rate.reset_seconds)


class FeatureRouter(APIRouter):
    """Looks at the first word of a path before it tries its routes: without that every request would be compared with
    every route of every feature that was included before its own, a tenth of what a short request costs."""

    _words: frozenset[str] | None = None

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if self._words is None:
            self._words = frozenset(_first_word(getattr(route, "path", "/{any}")) for route in self.routes)
        word = _first_word(scope["path"])
        if scope["type"] == "http" and word not in self._words and "{any}" not in self._words:
            return Match.NONE, {}
        return super().matches(scope)


def _first_word(path: str) -> str:
    """The one that says what it is about: `leads` of `/leads/{id}` and of `/api/v1/leads/7`."""
    word = path.removeprefix(API).lstrip("/").split("/", 1)[0]
    return "{any}" if word.startswith("{") else word


def api_router(**options: Any) -> APIRouter:
    """A router whose endpoints are `ApiRoute`s."""
    return FeatureRouter(route_class=ApiRoute, **options)
