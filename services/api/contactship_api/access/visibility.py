"""Which conversations a caller sees: one rule, for everything that shows something of a conversation."""

from typing import Any

import sqlalchemy as sa
from sqlmodel import col

from contactship_api.access.permissions import Principal
from contactship_common.models import Conversation, Role


def sees_conversation(who: Principal) -> sa.ColumnElement[bool]:
    """The condition on `conversations`: agents see theirs, administrators and machines all. Whether the caller may
    read conversations at all is the right that the operation requires."""
    if who.role == Role.SALES_AGENT:
        return col(Conversation.assigned_agent_id) == who.id
    return sa.true()


def conversations_of(who: Principal) -> sa.Select[Any]:
    """The ids of the conversations that the caller sees."""
    return sa.select(col(Conversation.id)).where(sees_conversation(who))
