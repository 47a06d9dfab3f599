"""What the OpenAPI document says about problems: every status an operation can answer, with its codes."""

from collections.abc import Iterable
from typing import Any

from fastapi.dependencies.models import Dependant

from contactship_api.http import problems
from contactship_common import errors
from contactship_common.errors import ContactshipError

ProblemClass = type[ContactshipError]

PROBLEM_SCHEMA = {
    "title": "Problem",
    "description": "RFC 9457. `code` is stable; `errors` is there for 422.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "instance", "code", "requestId"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "code": {"type": "string"},
        "requestId": {"type": ["string", "null"]},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["path", "message", "code"],
                "properties": {
                    "path": {"type": "string"},
                    "message": {"type": "string"},
                    "code": {"type": "string"},
                },
            },
        },
    },
}


def _any(dependant: Dependant, what: str) -> bool:
    return bool(getattr(dependant, what)) or any(_any(child, what) for child in dependant.dependencies)


def _takes_idempotency_key(dependant: Dependant) -> bool:
    return any(p.alias == "Idempotency-Key" for p in dependant.header_params) or any(
        _takes_idempotency_key(child) for child in dependant.dependencies
    )


def implied_problems(
    dependant: Dependant, *, has_body: bool, writes: bool, needs_login: bool, may_be_forbidden: bool, limited: bool
) -> set[ProblemClass]:
    """The problems that follow from what an operation takes and who may call it."""
    found: set[ProblemClass] = {problems.Invalid}  # unknown query parameters are refused everywhere
    if has_body:
        found |= {
            problems.MalformedJson,
            problems.JsonTooDeep,
            problems.PayloadTooLarge,
            problems.UnsupportedMediaType,
        }
    if writes:
        found.add(problems.PayloadTooLarge)
    if _takes_idempotency_key(dependant):
        found |= {problems.BadIdempotencyKey, problems.IdempotencyInProgress, problems.IdempotencyKeyReused}
    if _any(dependant, "path_params"):
        found.add(errors.NotFound)
    if needs_login:
        found |= {errors.Unauthenticated, errors.DatabaseUnavailable}
    if may_be_forbidden:
        found.add(errors.Forbidden)
    if limited:
        found.add(errors.TooManyRequests)
    return found


def problem_responses(classes: Iterable[ProblemClass]) -> dict[int | str, dict[str, Any]]:
    """FastAPI's `responses` for these problems."""
    by_status: dict[int, list[ProblemClass]] = {}
    for problem in sorted(classes, key=lambda c: (c.status, c.code)):
        by_status.setdefault(problem.status, []).append(problem)
    return {
        status: {
            "description": "; ".join(f"`{p.code}`: {p.title}" for p in listed),
            "content": {
                problems.PROBLEM_TYPE: {
                    "schema": {"$ref": "#/components/schemas/Problem"},
                    "examples": {
                        p.code: {
                            "value": {
                                "type": f"urn:contactship:problem:{p.code}",
                                "title": p.title,
                                "status": p.status,
                                "detail": p.title,
                                "instance": "/api/v1/…",
                                "code": p.code,
                                "requestId": "01932d5c89a47b6e9f1a3a5b7c9d1e2f",
                            }
                        }
                        for p in listed
                    },
                }
            },
        }
        for status, listed in by_status.items()
    }
