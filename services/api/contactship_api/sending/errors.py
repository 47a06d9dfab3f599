"""What can be wrong with a sending."""

from contactship_common.errors import NotFound, Unprocessable


class PhoneInvalid(Unprocessable):
    code, title = "phone_invalid", "This is not a valid phone number; write it with + and the country code"


class ConversationDoesNotFit(Unprocessable):
    code, title = "conversation_does_not_fit", "This conversation is on another channel, or with another number"


class DeliveryNotFound(NotFound):
    code, title = "delivery_not_found", "There is no delivery with this id"
