"""Who hears of a conversation. Rooms are people, computed from the row at the moment of the event: whoever loses an
assignment stops receiving by construction."""

from uuid import UUID

ADMINS = "admins"
EVERYBODY = "everybody"
"""All connected people: every role may read leads."""


def user_room(user_id: UUID | str) -> str:
    """All sockets of one person."""
    return f"user:{user_id}"


def audience(*agents: UUID | None) -> list[str]:
    """Administrators and these agents."""
    return [ADMINS, *dict.fromkeys(user_room(agent) for agent in agents if agent is not None)]
