"""What can be wrong with an interaction."""

from contactship_common.errors import Conflict, Forbidden, NotFound, Unprocessable


class InteractionNotFound(NotFound):
    code, title = "interaction_not_found", "There is no interaction with this id"


class InteractionNotYours(Forbidden):
    code, title = "not_your_conversation", "This belongs to a conversation of somebody else"


class InteractionEnded(Conflict):
    code, title = "interaction_ended", "An interaction does not go back to a status it has left"


class NotSummarizable(Conflict):
    code, title = "interaction_without_transcript", "Only a call with a transcript can be summarised"


class PhoneNotUnderstood(Unprocessable):
    code, title = "phone_invalid", "This is not a valid phone number; write it with + and the country code"
