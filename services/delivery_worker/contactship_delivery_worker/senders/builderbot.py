"""WhatsApp through BuilderBot's cloud API (v2)."""

from typing import Any
from urllib.parse import quote

from contactship_common.models import Provider
from contactship_common.settings import ContactCenterSettings
from contactship_delivery_worker.senders import http
from contactship_delivery_worker.senders.base import Outgoing, Sent


class BuilderBotSender:
    def __init__(self, settings: ContactCenterSettings) -> None:
        self._path = f"/api/v2/{quote(settings.builderbot_bot_id, safe='')}/messages"
        headers = {"x-api-builderbot": settings.builderbot_api_key.get_secret_value()}
        self._client = http.make_client(settings.builderbot_api_url, headers=headers)

    async def send(self, message: Outgoing) -> Sent:
        content: dict[str, Any] = {"content": message.text}
        if message.media_url:
            content["mediaUrl"] = message.media_url
        body = {"messages": content, "number": message.to.lstrip("+"), "checkIfExists": False}
        response = await http.post(self._client, self._path, json=body)
        told = http.answer(response)
        if response.is_error:
            reason = told.get("message") or told.get("error")
            raise http.refused(told.get("code"), reason, response.status_code, message)
        return Sent(Provider.BUILDERBOT, _id_of(told))

    async def aclose(self) -> None:
        await self._client.aclose()


def _id_of(told: dict[str, Any]) -> str | None:
    """BuilderBot does not document its answer: take an id where there is one."""
    for place in (told, told.get("data"), told.get("key")):
        if isinstance(place, dict):
            for name in ("id", "messageId", "message_id"):
                if isinstance(place.get(name), str) and place[name]:
                    return str(place[name])[:255]
    return None
