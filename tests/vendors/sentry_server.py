"""A receiver of error reports in Sentry's envelopes."""

import gzip
import json
from typing import Any

from vendors.webhook_receiver import Reply, WebhookReceiver


class SentryServer(WebhookReceiver):
    def __init__(self) -> None:
        super().__init__()
        self.always(Reply(200, {"Content-Length": "0"}))

    @property
    def dsn(self) -> str:
        return f"http://public@{self.host}:{self.port}/7"

    @property
    def texts(self) -> list[str]:
        """Every envelope as it was sent, unpacked."""
        return [
            (gzip.decompress(one.body) if one.headers.get("content-encoding") == "gzip" else one.body).decode()
            for one in self.received
        ]

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(text.splitlines()[2]) for text in self.texts]
