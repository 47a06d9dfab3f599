"""SMS through Twilio's REST API (2010-04-01)."""

import ipaddress
from typing import Any
from urllib.parse import quote

import httpx

from contactship_common.contact_center.delivery_reports import RANKS
from contactship_common.models import Provider
from contactship_common.settings import ContactCenterSettings
from contactship_delivery_worker.senders import http
from contactship_delivery_worker.senders.base import Outgoing, Sent

_SHORTEST_LIFE_SECONDS, _LONGEST_LIFE_SECONDS = 1, 36_000  # of ValidityPeriod


class TwilioSender:
    def __init__(self, settings: ContactCenterSettings) -> None:
        self._settings = settings
        account, token = settings.twilio_account_sid, settings.twilio_auth_token.get_secret_value()
        self._path = f"/2010-04-01/Accounts/{quote(account, safe='')}/Messages.json"
        self._client = http.make_client(settings.twilio_api_base_url, auth=httpx.BasicAuth(account, token))

    async def send(self, message: Outgoing) -> Sent:
        response = await http.post(self._client, self._path, data=self._form(message))
        told = http.answer(response)
        if response.is_error:
            raise http.refused(told.get("code"), told.get("message"), response.status_code, message)
        return _sent(told, message)

    def _form(self, message: Outgoing) -> dict[str, str]:
        form = {"To": message.to}
        if self._settings.twilio_messaging_service_sid:
            form["MessagingServiceSid"] = self._settings.twilio_messaging_service_sid
        else:
            form["From"] = self._settings.twilio_from_number
        if message.text:
            form["Body"] = message.text
        if message.media_url:
            form["MediaUrl"] = message.media_url
        if message.callback_url and self._reaches(message.callback_url):
            form["StatusCallback"] = message.callback_url
        if message.life_seconds is not None:
            life = min(max(message.life_seconds, _SHORTEST_LIFE_SECONDS), _LONGEST_LIFE_SECONDS)
            form["ValidityPeriod"] = str(life)
        return form

    def _reaches(self, callback_url: str) -> bool:
        """Twilio refuses a whole message whose callback is on this machine, as it is in development; a Twilio on this
        machine does not."""
        return not _is_here(callback_url) or _is_here(self._settings.twilio_api_base_url)

    async def aclose(self) -> None:
        await self._client.aclose()


def _sent(told: dict[str, Any], message: Outgoing) -> Sent:
    """What was taken is sent, whatever else the answer says: a word that we do not know is "queued"."""
    status = told.get("status")
    sid, code = told.get("sid"), told.get("error_code")
    return Sent(
        Provider.TWILIO,
        sid if isinstance(sid, str) and sid else None,
        status if isinstance(status, str) and status in RANKS else "queued",
        error_code=str(code) if code else None,
        error_message=http.in_words(str(told.get("error_message") or ""), message) or None,
    )


def _is_here(url: str) -> bool:
    host = httpx.URL(url).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
