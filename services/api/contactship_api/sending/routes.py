"""/whatsapp/send, /sms/send and /deliveries: paths, status codes, who may call."""

from uuid import UUID

from fastapi import Response

from contactship_api.access.requires import DeliveriesRead, MessagesSend
from contactship_api.conversations.errors import ConversationClosed, ConversationNotFound, NotYourConversation
from contactship_api.deps import IdempotentUow, Reading, TheGateway
from contactship_api.http.route import api_router, raises
from contactship_api.sending import queries, service
from contactship_api.sending.errors import ConversationDoesNotFit, DeliveryNotFound, PhoneInvalid
from contactship_api.sending.schemas import DeliveryOut, SendAccepted, SmsSend, WhatsAppSend
from contactship_common.errors import ConcurrentChange, DeliveryNotResendable
from contactship_common.models import Channel

router = api_router(prefix="", tags=["sending"])

_RETRY_AFTER_SECONDS = "2"


def _follow(response: Response, accepted: SendAccepted) -> SendAccepted:
    response.headers["Location"] = f"/api/v1/tasks/{accepted.task_id}"
    response.headers["Retry-After"] = _RETRY_AFTER_SECONDS
    return accepted


@router.post("/whatsapp/send", status_code=202, response_model=SendAccepted)
@raises(
    PhoneInvalid,
    ConversationNotFound,
    NotYourConversation,
    ConversationDoesNotFit,
    ConversationClosed,
    ConcurrentChange,
)
async def send_whatsapp(
    body: WhatsAppSend, who: MessagesSend, uow: IdempotentUow, gateway: TheGateway, response: Response
) -> SendAccepted:
    """Send a WhatsApp message, once. Whoever has the number is found among the leads, or becomes one."""
    letter = service.Letter(Channel.WHATSAPP, body.to, body.text, body.media_url, body.conversation_id)
    return _follow(response, await service.send(uow, who, gateway.contact_center, letter))


@router.post("/sms/send", status_code=202, response_model=SendAccepted)
@raises(PhoneInvalid, NotYourConversation, ConversationNotFound, ConcurrentChange)
async def send_sms(
    body: SmsSend, who: MessagesSend, uow: IdempotentUow, gateway: TheGateway, response: Response
) -> SendAccepted:
    """Send an SMS, once. Whoever has the number is found among the leads, or becomes one."""
    letter = service.Letter(Channel.SMS, body.to, body.text)
    return _follow(response, await service.send(uow, who, gateway.contact_center, letter))


@router.get("/deliveries/{delivery_id}", response_model=DeliveryOut)
@raises(DeliveryNotFound)
async def get_delivery(delivery_id: UUID, who: DeliveriesRead, session: Reading) -> DeliveryOut:
    """What became of a sending. Those of messages are seen by whoever sees the conversation, those of codes by
    administrators."""
    return await queries.find(session, who, delivery_id)


@router.post("/deliveries/{delivery_id}/resend", status_code=202, response_model=SendAccepted)
@raises(DeliveryNotFound, DeliveryNotResendable)
async def resend_delivery(delivery_id: UUID, who: MessagesSend, uow: IdempotentUow, response: Response) -> SendAccepted:
    """Send a message again whose newest sending has failed; for one whose answer was lost that is a person's decision.
    Codes are never sent again: ask for a new one."""
    return _follow(response, await service.resend(uow, who, delivery_id))
