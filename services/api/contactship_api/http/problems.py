"""RFC 9457 problems: the one place where an error becomes an answer.

Answers never carry a stack trace, SQL, a driver's text, or what the client sent.
"""

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import quote

import orjson
import sqlalchemy as sa
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from psycopg import errors as pg
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from contactship_common.db import DATABASE_AWAY, is_database_away
from contactship_common.errors import (
    ClientEmailTaken,
    Conflict,
    ContactshipError,
    ConversationAlreadyOpen,
    DatabaseUnavailable,
    DeliveryNotResendable,
    LeadEmailTaken,
    NotFound,
    OtpCorrelationConflict,
    OwnerNotFound,
    SellerEmailTaken,
    SellerUserUnknown,
    TooManyRequests,
    Unavailable,
    Unprocessable,
)

log = structlog.get_logger()

PROBLEM_TYPE = "application/problem+json"
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_LONGEST_INSTANCE = 300
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_ECHOING = frozenset({"uuid_parsing", "value_error", "extra_forbidden"})


class MalformedJson(ContactshipError):
    status, code, title = 400, "malformed_json", "The body is not valid JSON"


class JsonTooDeep(ContactshipError):
    status, code, title = 400, "json_too_deep", "The body is nested too deeply"


class BadCursor(ContactshipError):
    status, code, title = 400, "bad_cursor", "The cursor is not one of ours; start again without it"


class PageTooDeep(ContactshipError):
    status, code, title = 400, "page_too_deep", "page × take may not exceed 10,000; walk further with cursor="


class BadIdempotencyKey(ContactshipError):
    status, code, title = 400, "bad_idempotency_key", "Idempotency-Key must be 1 to 255 visible ASCII characters"


class IdempotencyInProgress(Conflict):
    code, title = "idempotency_in_progress", "A request with this Idempotency-Key is being worked on"


class IdempotencyKeyReused(Unprocessable):
    code, title = "idempotency_key_reused", "This Idempotency-Key was used for another request"


class ValueNotAccepted(Unprocessable):
    code, title = "value_not_accepted", "A value breaks a rule of the database"


class ExternalIdTaken(Conflict):
    code, title = "lead_external_id_taken", "A lead of this source with this externalId exists already"


class MethodNotAllowed(ContactshipError):
    status, code, title = 405, "method_not_allowed", "This method is not offered here"


class PayloadTooLarge(ContactshipError):
    status, code, title = 413, "payload_too_large", "The body is too large"


class UnsupportedMediaType(ContactshipError):
    status, code, title = 415, "unsupported_media_type", "Send application/json"


class Invalid(Unprocessable):
    """422 with a list of what is wrong where."""

    code, title = "validation_failed", "Some values are not acceptable"

    def __init__(self, errors: list[dict[str, str]]) -> None:
        super().__init__(errors=errors)


def problem(request: Request, error: ContactshipError) -> Response:
    """The answer for a typed error."""
    path = request.scope.get("contactship.path") or request.url.path
    body: dict[str, Any] = {
        "type": f"urn:contactship:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "instance": quote(path, safe="/-._~")[:_LONGEST_INSTANCE],
        "code": error.code,
        "requestId": request.scope.get("contactship.request_id"),
        **error.extra,
    }
    return Response(
        orjson.dumps(body, default=str), status_code=error.status, headers=error.headers, media_type=PROBLEM_TYPE
    )


MOST_ERRORS = 50
_PLAINER = {
    "model_attributes_type": "Should be a JSON object",
    "timezone_aware": "Give a time with its zone, such as 2026-11-21T09:30:00Z",
}


def place(location: Iterable[Any]) -> str:
    """Where the error is, as `body.firstName` or `query.page`; names that are not plain are not repeated."""
    parts = []
    for part in location:
        if isinstance(part, int):
            parts.append(str(part))
        else:
            parts.append(part if _PLAIN_NAME.fullmatch(str(part)) else "?")
    return ".".join(parts)


def _message(error: Any) -> str:
    """Pydantic's words, without the part of some messages that repeats characters of the input, and in the client's
    terms where Pydantic speaks of its own."""
    if error["type"] in _PLAINER:
        return _PLAINER[error["type"]]
    if error["type"] in ("too_short", "too_long") and error["ctx"].get("field_type") == "Value":
        bound = error["ctx"].get("min_length") or error["ctx"].get("max_length")
        return f"Text should have at {'least' if error['type'] == 'too_short' else 'most'} {bound} characters"
    text = str(error["msg"]).removeprefix("Value error, ")
    return re.split(r"[:,]", text, maxsplit=1)[0] if error["type"] in _ECHOING else text


def from_validation(errors: Iterable[Any]) -> ContactshipError:
    """The typed error for what Pydantic found."""
    found = list(errors)
    if any(error["loc"] and error["loc"][0] == "path" for error in found):
        return NotFound("There is nothing with this id")
    told = [
        {
            "path": place(error["loc"]),
            "message": _message(error),
            "code": str(error["type"]),
        }
        for error in found[:MOST_ERRORS]
    ]
    return Invalid(told)


# The schema decides what may coexist; the name of what it refused is the error's name.
BY_CONSTRAINT: dict[str, type[ContactshipError]] = {
    "uq_leads_email": LeadEmailTaken,
    "uq_leads_source_external_id": ExternalIdTaken,
    "fk_leads_owner_id": OwnerNotFound,
    "uq_otp_challenges_correlation_id": OtpCorrelationConflict,
    "uq_deliveries_running_message": DeliveryNotResendable,
    "uq_conversations_open": ConversationAlreadyOpen,
    "uq_clients_email": ClientEmailTaken,
    "uq_sellers_email": SellerEmailTaken,
    "fk_sellers_user_id": SellerUserUnknown,
}


def from_database(error: Exception) -> ContactshipError | None:
    """The typed error for a database that is away or gave up; None: it is our bug."""
    original = getattr(error, "orig", None) or error
    if is_database_away(error):
        return DatabaseUnavailable()
    if isinstance(original, pg.DeadlockDetected | pg.SerializationFailure | pg.LockNotAvailable | pg.QueryCanceled):
        return Unavailable("Too much is happening to this at once; try again", retry_after_seconds=1)
    if isinstance(original, pg.IntegrityError):
        known = BY_CONSTRAINT.get(original.diag.constraint_name or "")
        if known is not None:
            return known()
        return Conflict() if isinstance(original, pg.UniqueViolation) else ValueNotAccepted()
    if isinstance(original, pg.DataError):
        return ValueNotAccepted()
    return None


def methods_of(app: FastAPI, scope: Scope) -> list[str]:
    """Every method that is offered at this path, over all routes."""
    if scope["path"] in literal_paths(app):
        return [method for method in _METHODS if method in literal_paths(app)[scope["path"]]]
    asked = {"type": "http", "path": scope["path"], "root_path": scope.get("root_path", ""), "headers": []}
    return [
        method
        for method in _METHODS
        if any(route.matches({**asked, "method": method})[0] is Match.FULL for route in app.routes)
    ]


def literal_paths(app: FastAPI) -> dict[str, list[str]]:
    """The methods of paths without parameters: `/leads/statistics` is no id, whatever the method."""
    found: dict[str, list[str]] = app.state.literal_paths
    return found


def install(app: FastAPI, count_unrouted: Callable[[Request], Awaitable[None]]) -> None:
    """Register the handlers. What is not expected here reaches the outermost middleware, which answers a bare 500.

    `count_unrouted` counts a request that no route has taken; it may raise TooManyRequests.
    """

    async def typed(request: Request, error: Exception) -> Response:
        if not isinstance(error, ContactshipError):
            raise TypeError
        return problem(request, error)

    async def validation(request: Request, error: Exception) -> Response:
        if not isinstance(error, RequestValidationError):
            raise TypeError
        return problem(request, from_validation(error.errors()))

    async def http(request: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise TypeError
        told = _from_http(error)
        if told.status == 405:
            told.headers = {"Allow": ", ".join(methods_of(app, request.scope))}
        if told.status in (404, 405):
            # No route has counted this request; somebody who guesses addresses is limited like everybody else.
            try:
                await count_unrouted(request)
            except TooManyRequests as limited:
                told = limited
        return problem(request, told)

    async def database(request: Request, error: Exception) -> Response:
        told = from_database(error)
        if told is None:
            raise error
        log.warning("database.refused", error=type(error).__name__, code=told.code)
        return problem(request, told)

    app.add_exception_handler(ContactshipError, typed)
    app.add_exception_handler(RequestValidationError, validation)
    app.add_exception_handler(HTTPException, http)
    for away in {*DATABASE_AWAY, sa.exc.DBAPIError, pg.Error}:
        app.add_exception_handler(away, database)


def _from_http(error: HTTPException) -> ContactshipError:
    headers = dict(error.headers or {})
    if error.status_code == 404:
        return NotFound("There is nothing at this address", headers=headers)
    if error.status_code == 405:
        return MethodNotAllowed(headers=headers)
    if error.status_code == 413:
        return PayloadTooLarge()
    if error.status_code == 400:
        return MalformedJson("The body could not be read")
    return ContactshipError(str(error.detail), headers=headers)
