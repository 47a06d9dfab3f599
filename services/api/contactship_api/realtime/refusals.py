"""Every refusal that a Socket.IO client can meet, by its code."""

REFUSALS: dict[str, dict[str, str]] = {
    code: {"code": code, "message": message}
    for code, message in {
        "unauthenticated": "Give a valid access token as auth.token or as a Bearer header",
        "token_expired": "The access token has expired; connect again with a new one",
        "access_changed": "Your account, role or login has changed; log in again",
        "unavailable": "Not available at the moment; try again",
        "bad_conversation_id": "Send the id of a conversation",
        "conversation_not_found": "There is no conversation with this id",
        "not_your_conversation": "This conversation is assigned to somebody else",
        "not_joined": "Join the conversation first",
        "too_many_conversations": "Leave another conversation first",
        "too_many_sockets": "You have opened too many connections; this was the oldest",
        "rate_limited": "Too many events; slow down",
    }.items()
}


class EventRefused(Exception):
    """An event that is answered `{ok: false, error: code}` and with an `error` event."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code
