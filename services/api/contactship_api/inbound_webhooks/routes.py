"""/webhooks: what providers send us. Anybody may call; what counts is the signature or the token."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Query, Request, Response
from pydantic import SecretStr
from starlette.datastructures import FormData

from contactship_api.access.requires import Admin
from contactship_api.deps import IdempotentUow, Reading, TheGateway, Uow
from contactship_api.gateway import Gateway
from contactship_api.http.paging import Cursor, CursorLimit
from contactship_api.http.personal_data import PII_PROBLEMS, Personal
from contactship_api.http.problems import BadCursor, PayloadTooLarge
from contactship_api.http.route import any_query, api_router, count, public, raises, streams_body, unlimited
from contactship_api.http.schemas import CursorMeta
from contactship_api.inbound_webhooks import queries, service, twiml, verify
from contactship_api.inbound_webhooks.errors import (
    InboxEntryEmptied,
    InboxEntryNotFound,
    WebhookNotConfigured,
    WebhookRejected,
)
from contactship_api.inbound_webhooks.receive import take_in
from contactship_api.inbound_webhooks.schemas import InboxEntryOut, InboxPage, Received, ReplayAccepted
from contactship_api.inbound_webhooks.verify import Verdict
from contactship_common.contact_center import builderbot, elevenlabs, twilio
from contactship_common.errors import TooManyRequests
from contactship_common.uow import UnitOfWork

router = api_router(prefix="/webhooks", tags=["webhooks"])

_TOKEN_HEADER = "x-webhook-token"  # noqa: S105  # a header's name


async def _body(request: Request, limit: int) -> bytes:
    request.state.max_body_bytes = limit
    return await request.body()


async def _reject(request: Request, gateway: Gateway, uow: UnitOfWork, provider: str, reason: str) -> None:
    """Audited; a sender who keeps failing is limited like anybody without credentials.

    Raises:
        WebhookRejected, TooManyRequests
    """
    await count(gateway, request, None)
    uow.audit("webhook.reject", "webhook", provider, actor=f"provider:{provider}", reason=reason)
    raise WebhookRejected


def _configured(*secrets: SecretStr) -> None:
    if not any(secret.get_secret_value() for secret in secrets):
        raise WebhookNotConfigured


@router.post("/elevenlabs/call", response_model=Received)
@public
@unlimited
@any_query
@streams_body
@raises(WebhookRejected, WebhookNotConfigured, PayloadTooLarge, TooManyRequests)
async def elevenlabs_call(request: Request, gateway: TheGateway, uow: Uow) -> Received:
    """Events of calls, signed (`ElevenLabs-Signature`) or with `X-Webhook-Token`."""
    settings = gateway.contact_center
    _configured(settings.elevenlabs_webhook_secret, settings.elevenlabs_webhook_token)
    # Nobody without a token or a fresh signature makes us read 25 MiB.
    by_token = verify.token_fits(request.headers.get(_TOKEN_HEADER), settings.elevenlabs_webhook_token)
    signature = request.headers.get("elevenlabs-signature")
    verdict = Verdict(by_token)
    if not by_token:
        verdict = verify.elevenlabs_header(signature, settings.elevenlabs_webhook_secret)
    body = await _body(request, settings.call_webhook_max_body_bytes) if verdict.ok else b""
    if verdict.ok and not by_token:
        verdict = verify.elevenlabs(signature, body, settings.elevenlabs_webhook_secret)
    if not verdict.ok:
        await _reject(request, gateway, uow, "elevenlabs", verdict.reason)
    known = await take_in(uow, request, provider="elevenlabs", kind="call", pieces=elevenlabs.split(body), query={})
    return Received(duplicate=known)


@router.post("/builderbot/whatsapp", response_model=Received)
@public
@unlimited
@any_query
@streams_body
@raises(WebhookRejected, WebhookNotConfigured, PayloadTooLarge, TooManyRequests)
async def builderbot_whatsapp(request: Request, gateway: TheGateway, uow: Uow) -> Received:
    """WhatsApp events: one, or an array of them. `X-Webhook-Token`, or `?token=` in the URL."""
    settings = gateway.contact_center
    _configured(settings.builderbot_webhook_token)
    presented = request.headers.get(_TOKEN_HEADER) or request.query_params.get("token")
    if not verify.token_fits(presented, settings.builderbot_webhook_token):
        await _reject(request, gateway, uow, "builderbot", "token_wrong" if presented else "token_missing")
    body = await _body(request, settings.webhook_max_body_bytes)
    known = await take_in(uow, request, provider="builderbot", kind="whatsapp", pieces=builderbot.split(body), query={})
    return Received(duplicate=known)


async def _twilio(request: Request, gateway: Gateway, uow: UnitOfWork, kind: str) -> Received:
    settings = gateway.contact_center
    _configured(settings.twilio_auth_token, settings.twilio_webhook_token)
    body = await _body(request, settings.webhook_max_body_bytes)
    form = twilio.form_of(body)
    if not verify.token_fits(request.headers.get(_TOKEN_HEADER), settings.twilio_webhook_token):
        url = public_url(request, settings.public_base_url)
        verdict = verify.twilio(
            request.headers.get("x-twilio-signature"), url, FormData([*form]), settings.twilio_auth_token
        )
        if not verdict.ok:
            await _reject(request, gateway, uow, "twilio", verdict.reason)
    query = {name: value for name, value in request.query_params.items() if name == "delivery"}
    known = await take_in(
        uow, request, provider="twilio", kind=kind, pieces=twilio.split(kind, form, body), query=query
    )
    return Received(duplicate=known)


@router.post("/twilio/sms/status", response_model=Received)
@public
@unlimited
@any_query
@streams_body
@raises(WebhookRejected, WebhookNotConfigured, PayloadTooLarge, TooManyRequests)
async def twilio_sms_status(request: Request, gateway: TheGateway, uow: Uow) -> Received:
    """What became of an SMS that we sent."""
    return await _twilio(request, gateway, uow, "sms_status")


@router.post("/twilio/sms/inbound", response_model=Received, responses=twiml.DOCUMENTED)
@public
@unlimited
@any_query
@streams_body
@raises(WebhookRejected, WebhookNotConfigured, PayloadTooLarge, TooManyRequests)
async def twilio_sms_inbound(request: Request, gateway: TheGateway, uow: Uow) -> Received | Response:
    """An SMS from somebody. Twilio itself is answered in its own language: nothing is to be sent back."""
    received = await _twilio(request, gateway, uow, "sms_inbound")
    return twiml.nothing(received.duplicate) if twiml.is_wanted(request) else received


@router.get("/inbox", response_model=InboxPage)
@raises(BadCursor, *PII_PROBLEMS)
async def list_inbox(
    who: Admin,
    personal: Personal,
    session: Reading,
    handled: Annotated[bool | None, Query(description="`false`: what waits or was not understood.")] = None,
    provider: Literal["elevenlabs", "builderbot", "twilio"] | None = None,
    limit: CursorLimit = 20,
    cursor: Cursor = None,
) -> InboxPage:
    """Webhooks as they came in, newest first."""
    rows, following = await queries.page(
        session, handled=handled, provider=provider, limit=limit, cursor=cursor, masked=not personal.clear
    )
    personal.shows("webhook", [row.id for row in rows])
    return InboxPage(data=rows, meta=CursorMeta(next_cursor=following, has_next_page=following is not None))


@router.get("/inbox/{inbox_id}", response_model=InboxEntryOut)
@raises(InboxEntryNotFound, *PII_PROBLEMS)
async def get_inbox_entry(inbox_id: UUID, who: Admin, personal: Personal, session: Reading) -> InboxEntryOut:
    """One webhook as it came in, and why it is not handled."""
    found = await queries.find(session, inbox_id, masked=not personal.clear)
    if found is None:
        raise InboxEntryNotFound
    personal.shows("webhook", [inbox_id])
    return found


@router.post("/inbox/{inbox_id}/replay", status_code=202, response_model=ReplayAccepted)
@raises(InboxEntryNotFound, InboxEntryEmptied)
async def replay_inbox_entry(inbox_id: UUID, who: Admin, uow: IdempotentUow, response: Response) -> ReplayAccepted:
    """Have it handled once more, for instance after a missing setting was added. What was handled has no second
    effect."""
    ref = await service.replay(uow, inbox_id)
    response.headers["Location"] = f"/api/v1/tasks/{ref.id}"
    response.headers["Retry-After"] = "1"
    return ReplayAccepted(task_id=ref.id, inbox_id=inbox_id)


def public_url(request: Request, base_url: str) -> str:
    """The URL that the provider called: the configured base, the path as received before any alias, the query."""
    if not base_url:
        return ""
    path: bytes = request.scope.get("contactship.raw_path") or request.scope["raw_path"]
    query: bytes = request.scope["query_string"]
    return base_url + path.decode("latin-1") + (f"?{query.decode('latin-1')}" if query else "")
