"""What libraries import besides only because it is installed: 26 MiB of a process that never uses any of it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

UNUSED = ("aiohttp", "cryptography", "requests", "rich", "valkey")
"""The client halves of engineio (aiohttp, requests), public-key signatures in PyJWT and redis-py (cryptography),
coloured tracebacks in structlog (rich), socketio's other message queue (valkey). Each of the libraries does without."""


@contextmanager
def without(*modules: str) -> Iterator[None]:
    """Inside, importing one of these fails as if it were not installed; what is loaded already stays. Afterwards
    whoever needs one (an exporter of traces, say) gets it."""
    hidden = [name for name in modules if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None is how Python spells "cannot be imported"
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
