"""How endpoints fare: what each attempt says about them, and what becomes of what waits when one is switched off.

Whoever changes an endpoint locks its row before its deliveries and their tasks: here, in the gateway, everywhere.
"""

from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlmodel import col

from contactship_common import metrics
from contactship_common.models import WebhookEndpoint
from contactship_common.outbound.deliveries import UNKNOWN
from contactship_common.tasks.catalog import DeliverOutbound
from contactship_common.uow import UnitOfWork

log = structlog.get_logger()

FAILING_DAYS = 5
"""An endpoint at which nothing has succeeded for so long is disabled by the next failure."""

GONE, FAILING, BY_HAND = "gone", "failing", "by_hand"
"""Why an endpoint is off: it answered 410, it failed for days, somebody switched it off."""

# An attempt speaks for the URL it was made at: one at an earlier URL says nothing about the endpoint as it is.
_FAILS = "(active AND url = :url)"
_FOR_DAYS = "coalesce(failing_since <= now() - make_interval(days => :days), false)"
_ENDS = f"({_FAILS} AND (:gone OR {_FOR_DAYS}))"
_FAILED = sa.text(f"""
UPDATE webhook_endpoints SET
       failing_since = CASE WHEN {_FAILS} THEN coalesce(failing_since, now()) ELSE failing_since END,
       active = active AND NOT {_ENDS},
       disabled_at = CASE WHEN {_ENDS} THEN now() ELSE disabled_at END,
       disabled_reason = CASE WHEN {_ENDS} THEN CASE WHEN :gone THEN '{GONE}' ELSE '{FAILING}' END
                              ELSE disabled_reason END
 WHERE id = :id
RETURNING active, NOT active AND disabled_at = now() AS now_disabled, disabled_reason, failing_since
""").bindparams(sa.bindparam("gone", type_=sa.Boolean), sa.bindparam("days", type_=sa.Integer))  # noqa: S608  # constants only

_END_WAITING = sa.text("""
WITH waiting AS (
    UPDATE tasks SET status = 'cancelled', slot = NULL, finished_at = now(), published_at = NULL
     WHERE status = 'queued' AND slot IN (
           SELECT CAST(:slot AS text) || id FROM outbound_deliveries WHERE endpoint_id = :id AND status = 'pending')
 RETURNING id, subject_id
), ended AS (
    UPDATE outbound_deliveries SET status = 'failed', finished_at = now()
      FROM waiting WHERE outbound_deliveries.id = waiting.subject_id
), settled AS (
    UPDATE outbound_attempts SET error = :unknown
      FROM waiting WHERE delivery_id = waiting.subject_id AND duration_ms IS NULL AND error IS NULL
)
SELECT id FROM waiting
""")


async def attempt_succeeded(uow: UnitOfWork, endpoint_id: UUID, url: str) -> None:
    """The endpoint is well."""
    well = sa.update(WebhookEndpoint).where(
        col(WebhookEndpoint.id) == endpoint_id,
        col(WebhookEndpoint.url) == url,
        col(WebhookEndpoint.failing_since).is_not(None),
    )
    await uow.session.execute(well.values(failing_since=None))


async def attempt_failed(uow: UnitOfWork, endpoint_id: UUID, url: str, *, gone: bool) -> bool:
    """Note it, and disable the endpoint where it is time to. `gone`: the receiver answered 410.

    Returns whether the endpoint is on; False too if it has been deleted.
    """
    told = {"id": endpoint_id, "url": url, "gone": gone, "days": FAILING_DAYS}
    row = (await uow.session.execute(_FAILED, told)).first()
    if row is None:
        return False
    if row.now_disabled:
        since = row.failing_since.isoformat()
        uow.audit(
            "webhook_endpoint.disable", "webhook_endpoint", endpoint_id, actor="system", reason=row.disabled_reason
        )
        metrics.ENDPOINTS_DISABLED.labels(row.disabled_reason).inc()
        log.warning(
            "webhook_endpoint.disabled", endpoint_id=str(endpoint_id), reason=row.disabled_reason, failing_since=since
        )
        await end_waiting(uow, endpoint_id)
    return bool(row.active)


async def end_waiting(uow: UnitOfWork, endpoint_id: UUID) -> int:
    """What waits for this endpoint has failed: call it in the transaction that switches it off, afterwards. What is
    under way at this moment ends with its attempt. Returns how many."""
    slot = f"{DeliverOutbound.KIND}:"
    rows = await uow.session.execute(_END_WAITING, {"id": endpoint_id, "slot": slot, "unknown": UNKNOWN})
    ended = list(rows.scalars())
    uow.task_ended(*ended)
    return len(ended)
