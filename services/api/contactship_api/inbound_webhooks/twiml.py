"""What Twilio wants to hear about an SMS that it delivers: TwiML. It logs JSON as an error of ours (12300)."""

from typing import Any

from fastapi import Request, Response

_NOTHING = '<?xml version="1.0" encoding="UTF-8"?><Response/>'
_TWILIO = "twilioproxy/"

DOCUMENTED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Stored. Twilio itself (`User-Agent: TwilioProxy/…`) gets an empty TwiML response.",
        "content": {"text/xml": {"schema": {"type": "string"}, "example": _NOTHING}},
    }
}


def is_wanted(request: Request) -> bool:
    """Whether it is Twilio that asks, not one of our own tools."""
    return request.headers.get("user-agent", "").lower().startswith(_TWILIO)


def nothing(duplicate: bool) -> Response:
    """Nothing is to be sent back; `X-Duplicate` says what the JSON would."""
    return Response(_NOTHING, media_type="text/xml", headers={"X-Duplicate": "true" if duplicate else "false"})
