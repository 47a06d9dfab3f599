"""Webhooks as providers send them, to a gateway that is configured for all of them."""

import hashlib
import hmac
import json
import time
from base64 import b64encode
from typing import Any
from urllib.parse import urlencode

import httpx
from api_testkit import Api
from pydantic import SecretStr

from contactship_common.settings import ContactCenterSettings

BASE = "https://crm.example.com"
SECRETS = {
    "elevenlabs_webhook_secret": "el-secret",
    "elevenlabs_webhook_token": "el-token",
    "builderbot_webhook_token": "bb-token",
    "twilio_auth_token": "12345",
    "twilio_webhook_token": "tw-token",
}


class Hooks:
    """Calls the webhooks as providers do."""

    def __init__(self, api: Api) -> None:
        self.api = api

    def use(self, **settings: Any) -> None:
        """Go on with these settings, as after a restart of the gateway."""
        chosen = {"public_base_url": BASE} | SECRETS | settings
        self.api.gateway.contact_center = ContactCenterSettings(
            **{name: SecretStr(value) if name in SECRETS else value for name, value in chosen.items()}
        )

    async def elevenlabs(
        self, body: bytes | dict[str, Any], *, secret: str = "el-secret", at: float | None = None, **headers: str
    ) -> httpx.Response:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        moment = str(int(time.time() if at is None else at))
        signature = hmac.new(secret.encode(), moment.encode() + b"." + raw, hashlib.sha256).hexdigest()
        signed = {"elevenlabs-signature": f"t={moment},v0={signature}", **headers}
        return await self.api.anonymous.post("/api/v1/webhooks/elevenlabs/call", content=raw, headers=signed)

    async def builderbot(self, body: Any, *, path: str = "/api/v1", query: str = "", **headers: str) -> httpx.Response:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"x-webhook-token": "bb-token"} if not (query or headers) else headers
        url = f"{path}/webhooks/builderbot/whatsapp{query}"
        return await self.api.anonymous.post(url, content=raw, headers=sent)

    async def twilio(
        self, fields: dict[str, str], *, kind: str = "inbound", path: str = "/api/v1", query: str = "",
        signed_path: str | None = None, token: str = "12345", **headers: str,
    ) -> httpx.Response:  # fmt: skip
        where = f"{path}/webhooks/twilio/sms/{kind}{query}"
        signature = twilio_signature(BASE + (signed_path or where), fields, token)
        sent = {"x-twilio-signature": signature, "content-type": "application/x-www-form-urlencoded", **headers}
        return await self.api.anonymous.post(where, content=urlencode(fields), headers=sent)


def twilio_signature(url: str, fields: dict[str, str], token: str = "12345") -> str:
    """Written from Twilio's description, not with their library."""
    text = url + "".join(f"{name}{fields[name]}" for name in sorted(fields))
    return b64encode(hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()).decode()
