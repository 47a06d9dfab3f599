"""Shapes of sendings. Numbers are masked in answers."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from contactship_api.http.schemas import BlankIsNull, In, Line, Out, Text, UtcTime, WebUrl
from contactship_common.contact_center.sending import LONGEST_SMS
from contactship_common.models import InteractionChannel

LONGEST_MESSAGE = 10_000
_SOME_ID = "0192f0c4-8d4e-7c3a-9a55-6f1d2b3c4d5e"

Number = Annotated[Line, Field(min_length=1, max_length=50, description="With `+`, else of `DEFAULT_REGION`.")]


class WhatsAppSend(In):
    """`conversationId`: that WhatsApp conversation, which must be with `to`; else the open one with whoever has this
    number, or a new one."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"to": "+5491155551234", "text": "Buenos días, ¿en qué puedo ayudarle?"},
                {"to": "+5491155551234", "text": "El catálogo", "mediaUrl": "https://example.com/catalogo.png"},
            ]
        }
    )

    to: Number
    text: Annotated[Text, Field(min_length=1, max_length=LONGEST_MESSAGE)]
    media_url: Annotated[WebUrl | None, BlankIsNull] = None
    conversation_id: Annotated[UUID | None, BlankIsNull] = None


class SmsSend(In):
    """An SMS to whoever has this number, in the open SMS conversation with them or a new one."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"to": "+5491155551234", "text": "Su pedido está en camino."}]}
    )

    to: Number
    text: Annotated[Text, Field(min_length=1, max_length=LONGEST_SMS)]


class SendAccepted(Out):
    """It will be sent once; follow `Location`, or the delivery itself for what becomes of it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "taskId": _SOME_ID,
                    "deliveryId": _SOME_ID,
                    "messageId": _SOME_ID,
                    "conversationId": _SOME_ID,
                    "interactionId": _SOME_ID,
                    "status": "queued",
                }
            ]
        }
    )

    task_id: UUID
    delivery_id: UUID
    message_id: UUID
    conversation_id: UUID
    interaction_id: UUID | None
    status: Literal["queued"] = "queued"


DeliveryStatus = Literal["PENDING", "SENDING", "SENT", "DELIVERED", "READ", "FAILED"]


class DeliveryOut(Out):
    """One sending. `SENDING`: the provider has been asked and has not answered; with `errorCode` `unknown` its answer
    was lost, and the delivery waits for the provider's report before it shows as FAILED. `errorCode` is the provider's
    own where it refused. `resendable`: `POST …/resend` would be accepted."""

    id: UUID
    message_id: UUID | None
    conversation_id: UUID | None
    interaction_id: UUID | None
    channel: InteractionChannel
    to: str
    status: DeliveryStatus
    resendable: bool
    provider: str | None
    provider_message_id: str | None
    provider_status: str | None
    error_code: str | None
    error_message: str | None
    task_id: UUID | None
    sending_at: UtcTime | None
    sent_at: UtcTime | None
    delivered_at: UtcTime | None
    read_at: UtcTime | None
    failed_at: UtcTime | None
    created_at: UtcTime
    updated_at: UtcTime
