"""Twilio's Messages resource as far as Contactship uses it, with signed status callbacks.

with TwilioServer() as twilio:
    twilio.script(Say(400, code=21211, message="Invalid 'To' Phone Number: +5491100000000"))
    ...
    twilio.report(twilio.messages[0], "delivered")     # as Twilio would, to the StatusCallback of the request
"""

import base64
import uuid
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
from twilio.request_validator import RequestValidator

from vendors.messaging import Answer, MessagingServer, Request, Say, Taken

ACCOUNT_SID = "AC" + "0123456789abcdef" * 2
AUTH_TOKEN = "twilio-auth-token-of-the-tests"
FROM_NUMBER = "+15005550006"


class TwilioServer(MessagingServer):
    """Checks account, password and form as Twilio does."""

    def __init__(self, *, account_sid: str = ACCOUNT_SID, auth_token: str = AUTH_TOKEN) -> None:
        super().__init__()
        self.account_sid = account_sid
        self.auth_token = auth_token

    @property
    def settings(self) -> dict[str, str]:
        """The environment in which SMS go through this server."""
        return {
            "TWILIO_API_BASE_URL": self.url,
            "TWILIO_ACCOUNT_SID": self.account_sid,
            "TWILIO_AUTH_TOKEN": self.auth_token,
            "TWILIO_FROM_NUMBER": FROM_NUMBER,
        }

    def refuse(self, request: Request) -> Answer | None:
        password = base64.b64encode(f"{self.account_sid}:{self.auth_token}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {password}":
            return _error(401, 20003, "Authenticate")
        if request.path != f"/2010-04-01/Accounts/{self.account_sid}/Messages.json":
            return _error(404, 20404, f"The requested resource {request.path} was not found")
        if request.headers.get("content-type") != "application/x-www-form-urlencoded":
            return _error(400, 20001, "Content-Type not supported")
        form = _form(request)
        if not form.get("To"):
            return _error(400, 21604, "A 'To' phone number is required.")
        if not (form.get("From") or form.get("MessagingServiceSid")):
            return _error(400, 21603, "A 'From' phone number is required.")
        if not (form.get("Body") or form.get("MediaUrl")):
            return _error(400, 21619, "A text message body or media urls must be specified.")
        if len(form.get("Body", "")) > 1_600:
            return _error(400, 21617, "The concatenated message body exceeds the 1600 character limit.")
        if not 1 <= int(form.get("ValidityPeriod", "1")) <= 36_000:
            return _error(400, 21622, "The ValidityPeriod is out of range.")
        return None

    def take(self, request: Request, number: int) -> Taken:
        form = _form(request)
        return Taken(f"SM{uuid.uuid4().hex}", form["To"], form.get("Body", ""), dict(form))

    def accepted(self, taken: Taken) -> Answer:
        service = taken.fields.get("MessagingServiceSid")
        body = {
            "sid": taken.id,
            "account_sid": self.account_sid,
            "messaging_service_sid": service,
            "to": taken.to,
            "from": taken.fields.get("From"),
            "body": taken.text,
            "status": "accepted" if service else "queued",
            "direction": "outbound-api",
            "num_segments": "1",
            "error_code": None,
            "error_message": None,
            "uri": f"/2010-04-01/Accounts/{self.account_sid}/Messages/{taken.id}.json",
        }
        return Answer(201, body)

    def error(self, say: Say) -> Answer:
        return _error(say.status, say.code, say.message)

    def report(self, taken: Taken, status: str, *, error_code: str = "", base_url: str = "") -> httpx.Response:
        """Call the message's StatusCallback, signed; `base_url`: knock at this address for it."""
        form = {
            "AccountSid": self.account_sid,
            "ApiVersion": "2010-04-01",
            "From": taken.fields.get("From", FROM_NUMBER),
            "MessageSid": taken.id,
            "MessageStatus": status,
            "SmsSid": taken.id,
            "SmsStatus": status,
            "To": taken.to,
        } | ({"ErrorCode": error_code} if error_code else {})
        callback = taken.fields["StatusCallback"]
        signature = RequestValidator(self.auth_token).compute_signature(callback, form)
        parts = urlsplit(callback)
        knock = f"{base_url}{parts.path}?{parts.query}" if base_url else callback
        return httpx.post(knock, data=form, headers={"X-Twilio-Signature": signature}, timeout=10)


def _form(request: Request) -> dict[str, str]:
    return dict(parse_qsl(request.body.decode(), keep_blank_values=True))


def _error(status: int, code: Any, message: str) -> Answer:
    more = f"https://www.twilio.com/docs/errors/{code}"
    return Answer(status, {"code": code, "message": message, "more_info": more, "status": status})
