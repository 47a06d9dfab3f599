"""/webhooks: what providers send us. Anybody may call; what counts is the signature or the token."""

from typing import Literal

from fastapi import Request
from pydantic import SecretStr
from starlette.datastructures import FormData

from contactship_api.deps import TheGateway, Uow
from contactship_api.gateway import Gateway
from contactship_api.http.problems import PayloadTooLarge
from contactship_api.http.route import any_query, api_router, count, public, raises, streams_body, unlimited
from contactship_api.http.schemas import Out
from contactship_api.inbound_webhooks import verify
from contactship_api.inbound_webhooks.errors import WebhookNotConfigured, WebhookRejected
from contactship_api.inbound_webhooks.receive import take_in
from contactship_api.inbound_webhooks.verify import Verdict
from contactship_common.contact_center import builderbot, elevenlabs, twilio
from contactship_common.errors import TooManyRequests
from contactship_common.uow import UnitOfWork

router = api_router(prefix="/webhooks", tags=["webhooks"])

_TOKEN_HEADER = "x-webhook-token"  # noqa: S105  # a header's name


class Received(Out):
    """Stored; a worker handles it. `duplicate`: it was stored before."""

    success: Literal[True] = True
    duplicate: bool = False


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
    body = await _body(request, settings.call_webhook_max_body_bytes)
    verdict = Verdict(verify.token_fits(request.headers.get(_TOKEN_HEADER), settings.elevenlabs_webhook_token))
    if not verdict.ok:
        signature = request.headers.get("elevenlabs-signature")
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
    body = await _body(request, settings.webhook_max_body_bytes)
    presented = request.headers.get(_TOKEN_HEADER) or request.query_params.get("token")
    if not verify.token_fits(presented, settings.builderbot_webhook_token):
        await _reject(request, gateway, uow, "builderbot", "token_wrong" if presented else "token_missing")
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


@router.post("/twilio/sms/inbound", response_model=Received)
@public
@unlimited
@any_query
@streams_body
@raises(WebhookRejected, WebhookNotConfigured, PayloadTooLarge, TooManyRequests)
async def twilio_sms_inbound(request: Request, gateway: TheGateway, uow: Uow) -> Received:
    """An SMS from somebody."""
    return await _twilio(request, gateway, uow, "sms_inbound")


def public_url(request: Request, base_url: str) -> str:
    """The URL that the provider called: the configured base, the path as received before any alias, the query."""
    if not base_url:
        return ""
    path: bytes = request.scope.get("contactship.raw_path") or request.scope["raw_path"]
    query: bytes = request.scope["query_string"]
    return base_url + path.decode("latin-1") + (f"?{query.decode('latin-1')}" if query else "")
