"""SMS through Twilio's REST API (2010-04-01)."""

import httpx

from contactship_common.masking import mask_pii
from contactship_common.models import Provider
from contactship_common.settings import ContactCenterSettings
from contactship_delivery_worker.senders import http
from contactship_delivery_worker.senders.base import Outgoing, Sent

_SHORTEST_LIFE_SECONDS, _LONGEST_LIFE_SECONDS = 1, 36_000  # of ValidityPeriod


class TwilioSender:
    def __init__(self, settings: ContactCenterSettings) -> None:
        self._settings = settings
        account, token = settings.twilio_account_sid, settings.twilio_auth_token.get_secret_value()
        self._client = http.make_client(settings.twilio_api_base_url, auth=httpx.BasicAuth(account, token))

    async def send(self, message: Outgoing) -> Sent:
        form = {"To": message.to, "Body": message.text}
        if self._settings.twilio_messaging_service_sid:
            form["MessagingServiceSid"] = self._settings.twilio_messaging_service_sid
        else:
            form["From"] = self._settings.twilio_from_number
        if message.media_url:
            form["MediaUrl"] = message.media_url
        if message.callback_url:
            form["StatusCallback"] = message.callback_url
        if message.life_seconds is not None:
            life = min(max(message.life_seconds, _SHORTEST_LIFE_SECONDS), _LONGEST_LIFE_SECONDS)
            form["ValidityPeriod"] = str(life)
        path = f"/2010-04-01/Accounts/{self._settings.twilio_account_sid}/Messages.json"
        response = await http.post(self._client, path, data=form)
        body = http.answer(response)
        if response.is_error:
            # Twilio repeats the number in some messages.
            raise http.refused(body.get("code"), mask_pii(str(body.get("message") or "")), response.status_code)
        return Sent(Provider.TWILIO, str(body["sid"]) if body.get("sid") else None, str(body.get("status") or "queued"))

    async def aclose(self) -> None:
        await self._client.aclose()
