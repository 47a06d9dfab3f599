"""Sends a callback or an outbound webhook: one attempt a run, every attempt a row.

At least once: the attempt's row is written before anything is sent and completed with the task; a worker that dies in
between leaves one that the next run marks `unknown` and repeats. Those do not count in the schedule.

A delivery to an endpoint goes to the URL, and is signed with the secrets, that the endpoint has as it begins.
"""

import random
import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_common import metrics, tracing
from contactship_common.errors import UrlNotAllowed
from contactship_common.models import DeliveryStatus, OutboundAttempt, OutboundDelivery, WebhookEndpoint
from contactship_common.outbound import deliveries, endpoints
from contactship_common.outbound.client import Answer, OutboundClient
from contactship_common.outbound.signing import key_of, sign
from contactship_common.outbound.urls import check_url, http_allowed
from contactship_common.settings import CoreSettings, DeliverySettings
from contactship_common.tasks.catalog import DeliverOutbound
from contactship_common.tasks.handler import Handler
from contactship_common.tasks.outcomes import Again, Done, GivenUp, Permanent, RetryLater, Skip, TaskError
from contactship_common.tasks.store import ClaimedTask
from contactship_common.uow import UnitOfWork
from contactship_delivery_worker.lanes import Lanes, Token

log = structlog.get_logger()

LONGEST_RETRY_AFTER_SECONDS = 86_400.0
_JITTER = 0.2
_FINAL = frozenset({"gone", "url_not_allowed"})
"""No later attempt can end otherwise: the receiver wants no more, or the URL itself is refused."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What to send, and which attempt it is. `endpoint_id` is null for callbacks, `failed_before` counts the attempts
    that are known to have failed, `receiver` and `token` name the lane that this run has, the headers in `trail` tie
    the receiver's logs to ours."""

    delivery_id: str
    endpoint_id: UUID | None
    url: str
    body: str
    keys: tuple[bytes, ...]
    number: int
    failed_before: int
    receiver: str
    token: Token
    trail: dict[str, str]


class DeliverOverHttp(Handler[DeliverOutbound, Attempt, Answer]):
    def __init__(self, client: OutboundClient, core: CoreSettings, settings: DeliverySettings, lanes: Lanes) -> None:
        self._client = client
        self._core = core
        self._waits = settings.retry_waits
        self._lanes = lanes
        secret = core.callback_signing_secret
        self._callback_keys = (key_of(secret),) if secret else ()

    async def load(self, session: AsyncSession, payload: DeliverOutbound, task: ClaimedTask) -> Attempt | Done | Skip:
        # Locked, so that a run that was overtaken unawares numbers its attempt before or after this one.
        statement = (
            sa.select(OutboundDelivery, WebhookEndpoint, col(WebhookEndpoint.previous_secret_until) > sa.func.now())
            .outerjoin(WebhookEndpoint, col(WebhookEndpoint.id) == col(OutboundDelivery.endpoint_id))
            .where(col(OutboundDelivery.id) == payload.delivery_id)
            .with_for_update(of=OutboundDelivery)
        )
        row = (await session.execute(statement)).first()
        if row is None:
            return Skip("the delivery has been deleted")
        delivery, endpoint, overlap = row
        keys: tuple[bytes, ...]
        if delivery.status == DeliveryStatus.SUCCEEDED:
            return Done()
        await session.execute(deliveries.settle_open_attempts(delivery.id))
        if delivery.endpoint_id is None:
            if not self._callback_keys:
                raise Permanent("callbacks_not_configured", "there is no CALLBACK_SIGNING_SECRET to sign with")
            keys, receiver = self._callback_keys, httpx.URL(delivery.url).host
        elif endpoint is None or not endpoint.active:
            delivery.status = DeliveryStatus.FAILED
            delivery.finished_at = sa.func.now()  # type: ignore[assignment]  # the database's clock
            return Skip("the endpoint has been switched off or deleted")
        else:
            delivery.url = endpoint.url
            keys, receiver = _keys(endpoint, overlap), str(endpoint.id)
        # A failed one is here because somebody asked for one more attempt.
        delivery.status, delivery.finished_at = DeliveryStatus.PENDING, None
        error = col(OutboundAttempt.error)
        counted = sa.select(
            sa.func.coalesce(sa.func.max(OutboundAttempt.number), 0),
            sa.func.count().filter(error.is_not(None), error != deliveries.UNKNOWN),
        ).where(col(OutboundAttempt.delivery_id) == delivery.id)
        last, failed_before = (await session.execute(counted)).one()
        token = (task.id, task.run_no)
        wait = self._lanes.take(receiver, token)
        if wait is not None:
            raise RetryLater("receiver_busy", "other attempts at this receiver come first", delay_seconds=wait)
        session.add(OutboundAttempt(delivery_id=delivery.id, number=last + 1))
        return Attempt(
            delivery_id=str(delivery.id),
            endpoint_id=delivery.endpoint_id,
            url=delivery.url,
            body=delivery.payload,
            keys=keys,
            number=last + 1,
            failed_before=failed_before,
            receiver=receiver,
            token=token,
            trail=_trail(task),
        )

    async def work(self, payload: DeliverOutbound, loaded: Attempt) -> Answer:
        started = time.monotonic()
        self._lanes.begin(loaded.receiver, loaded.token)
        try:
            # Again, because the settings may have changed since it was stored.
            check_url(loaded.url, http=http_allowed(self._core), allow=self._core.outbound_networks)
            headers = sign(loaded.keys, deliveries.message_id(payload.delivery_id), loaded.body)
            return await self._post(loaded, headers)
        except UrlNotAllowed:
            return Answer(status=None, error="url_not_allowed", ms=0)
        finally:
            self._lanes.leave(loaded.receiver, loaded.token, time.monotonic() - started)

    async def _post(self, loaded: Attempt, headers: dict[str, str]) -> Answer:
        about: tracing.Attributes = {
            "http.request.method": "POST",
            "server.address": httpx.URL(loaded.url).host,
            "contactship.delivery_id": loaded.delivery_id,
            "contactship.attempt": loaded.number,
        }
        with tracing.span("deliver webhook", "client", about) as span:
            trail = dict(loaded.trail)
            if here := tracing.current_traceparent():
                trail["traceparent"] = here
            answer = await self._client.post(loaded.url, loaded.body.encode(), {**trail, **headers})
            span.note({"http.response.status_code": answer.status})
            if answer.error is not None:
                span.fail(answer.error)
            return answer

    async def record(
        self, uow: UnitOfWork, payload: DeliverOutbound, task: ClaimedTask, loaded: Attempt, result: Answer
    ) -> dict[str, Any] | Again | GivenUp:
        # The endpoint's row before the delivery's, as everywhere.
        endpoint_on = await _tell_endpoint(uow, loaded, result)
        this = (col(OutboundAttempt.delivery_id) == payload.delivery_id, col(OutboundAttempt.number) == loaded.number)
        settled = {"duration_ms": result.ms, "status_code": result.status, "error": result.error}
        await uow.session.execute(sa.update(OutboundAttempt).where(*this).values(settled))
        told = {
            "delivery_id": loaded.delivery_id,
            "host": httpx.URL(loaded.url).host,
            "attempt": loaded.number,
            "status": result.status,
            "ms": result.ms,
        }
        if result.error is None:
            await uow.session.execute(
                sa.update(OutboundDelivery)
                .where(col(OutboundDelivery.id) == payload.delivery_id)
                .values(status=DeliveryStatus.SUCCEEDED, finished_at=sa.func.now())
            )
            metrics.OUTBOUND.labels("delivered").inc()
            log.info("outbound.delivered", **told)
            return {"statusCode": result.status, "attempts": loaded.number}
        message = f"attempt {loaded.number}: {_in_words(result)}"
        final = result.error in _FINAL or not endpoint_on
        wait = None if final else self._wait(loaded.failed_before, result.retry_after_seconds)
        metrics.OUTBOUND.labels("given_up" if wait is None else "will_retry").inc()
        log.warning("outbound.attempt_failed", error=result.error, retry_in_seconds=wait, **told)
        if wait is None:
            await deliveries.give_up(uow, payload.delivery_id)
            return GivenUp(result.error, message)
        return Again(result.error, message, delay_seconds=wait)

    async def failed(self, uow: UnitOfWork, payload: DeliverOutbound, task: ClaimedTask, error: TaskError) -> None:
        await deliveries.give_up(uow, payload.delivery_id)

    def _wait(self, failed_before: int, retry_after_seconds: float | None) -> float | None:
        """Seconds until the next attempt; None: that was the last one."""
        if failed_before >= len(self._waits):
            return None
        jitter = random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311  # spreads load, keeps no secret
        asked = min(retry_after_seconds or 0.0, LONGEST_RETRY_AFTER_SECONDS)
        return max(self._waits[failed_before] * jitter, asked)


def _keys(endpoint: WebhookEndpoint, overlap: bool | None) -> tuple[bytes, ...]:
    """The newest first; the one before it as long as both are good."""
    secrets = [endpoint.secret, *([endpoint.previous_secret] if overlap and endpoint.previous_secret else [])]
    return tuple(key_of(secret) for secret in secrets)


def _trail(task: ClaimedTask) -> dict[str, str]:
    trail = {"x-request-id": task.correlation_id, "traceparent": task.traceparent}
    return {name: value for name, value in trail.items() if value}


async def _tell_endpoint(uow: UnitOfWork, loaded: Attempt, result: Answer) -> bool:
    """Is it still on? (Callbacks have none that could be switched off.)"""
    if loaded.endpoint_id is None:
        return True
    if result.error is None:
        await endpoints.attempt_succeeded(uow, loaded.endpoint_id, loaded.url)
        return True
    return await endpoints.attempt_failed(uow, loaded.endpoint_id, loaded.url, gone=result.error == "gone")


def _in_words(answer: Answer) -> str:
    return f"the receiver answered with status {answer.status}" if answer.status else str(answer.error)
