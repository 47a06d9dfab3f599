"""BuilderBot's cloud as far as Contactship uses it. Its answer is not documented, so it says little; what it sends
comes back as a `message.outgoing` webhook."""

import json
from typing import Any

import httpx

from vendors.messaging import Answer, MessagingServer, Request, Say, Taken

BOT_ID = "bot-7f3a"
API_KEY = "builderbot-key-of-the-tests"


class BuilderBotServer(MessagingServer):
    @property
    def settings(self) -> dict[str, str]:
        """The environment in which WhatsApp messages go through this server."""
        return {"BUILDERBOT_API_URL": self.url, "BUILDERBOT_BOT_ID": BOT_ID, "BUILDERBOT_API_KEY": API_KEY}

    def refuse(self, request: Request) -> Answer | None:
        if request.headers.get("x-api-builderbot") != API_KEY:
            return Answer(401, {"statusCode": 401, "message": "Unauthorized"})
        if request.path != f"/api/v2/{BOT_ID}/messages":
            return Answer(404, {"statusCode": 404, "message": f"Cannot POST {request.path}"})
        body = _json(request)
        content = body.get("messages", {}).get("content")
        if not isinstance(content, str) or not str(body.get("number", "")).isdigit():
            return Answer(400, {"statusCode": 400, "message": ["messages.content must be a string"], "error": "Bad"})
        return None

    def take(self, request: Request, number: int) -> Taken:
        body = _json(request)
        return Taken(f"wa-{number}", body["number"], body["messages"]["content"], body)

    def accepted(self, taken: Taken) -> Answer:
        return Answer(200, {"success": True})

    def error(self, say: Say) -> Answer:
        return Answer(say.status, {"statusCode": say.status, "message": say.message, "code": say.code})

    def echo(self, taken: Taken, url: str, token: str) -> httpx.Response:
        """Tell this webhook address that the message has gone out."""
        told = {"eventName": "message.outgoing", "data": {"answer": taken.text, "from": taken.to, "id": taken.id}}
        return httpx.post(url, json=told, headers={"X-Webhook-Token": token}, timeout=10)


def _json(request: Request) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(request.body)
    return body
