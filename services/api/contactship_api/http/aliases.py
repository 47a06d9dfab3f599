"""Paths of the older systems, rewritten before routing. The OpenAPI document shows only the canonical ones."""

import re

from starlette.types import ASGIApp, Receive, Scope, Send

API = "/api/v1"

# (methods or None for all, pattern of the whole path, replacement)
ALIASES: list[tuple[frozenset[str] | None, re.Pattern[str], str]] = [
    (frozenset({"POST"}), re.compile(r"/create-lead"), f"{API}/leads"),
    (frozenset({"POST"}), re.compile(r"/leads/create-lead"), f"{API}/leads"),
    (frozenset({"GET"}), re.compile(rf"{API}/workers/task/(?P<rest>[^/]+)"), rf"{API}/tasks/\g<rest>"),
    (None, re.compile(r"/(?P<rest>(?:auth|sync)/.*)"), rf"{API}/\g<rest>"),
    (None, re.compile(r"/(?P<rest>leads(?:/.*)?)"), rf"{API}/\g<rest>"),
    (None, re.compile(r"/api/(?P<rest>(?:interactions|otp)(?:/.*)?)"), rf"{API}/\g<rest>"),
    (None, re.compile(r"(?:/api)?/(?P<rest>webhooks/.*)"), rf"{API}/\g<rest>"),
    (None, re.compile(r"/api(?:/v1)?/(?P<rest>health(?:/.*)?)"), r"/\g<rest>"),
]


def canonical(method: str, path: str) -> str:
    """The path that is routed for what was asked."""
    for methods, pattern, replacement in ALIASES:
        if methods is not None and method not in methods:
            continue
        match = pattern.fullmatch(path)
        if match:
            return match.expand(replacement)
    return path


class Aliases:
    """ASGI middleware; the path as received stays in `contactship.path` (webhook signatures need it)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            received = scope["path"]
            path = canonical(scope["method"], received)
            scope["contactship.path"] = received
            scope["contactship.raw_path"] = scope["raw_path"]
            if path != received:
                scope["path"] = path
                scope["raw_path"] = path.encode("utf-8", "surrogateescape")
        await self.app(scope, receive, send)
