"""What can be wrong with a conversation."""

from contactship_common.errors import Conflict, Forbidden, NotFound, Unprocessable


class ConversationNotFound(NotFound):
    code, title = "conversation_not_found", "There is no conversation with this id"


class NotYourConversation(Forbidden):
    """A deliberate exception to "what you may not see is not there": older clients rely on telling the two apart."""

    code, title = "not_your_conversation", "This conversation is assigned to somebody else"


class ConversationClosed(Conflict):
    code, title = "conversation_closed", "The conversation is closed; open it first"


class LeadOfConversationNotFound(Unprocessable):
    code, title = "conversation_lead_not_found", "There is no lead with this id"


class AgentNotFound(Unprocessable):
    code, title = "agent_not_found", "There is no active user with this id"


class InboundOnly(Forbidden):
    code, title = "inbound_not_allowed", "Messages of a lead come from API keys with the right messages:inbound"
