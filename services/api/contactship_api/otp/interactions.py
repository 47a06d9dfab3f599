"""How the interaction of a code ends: COMPLETED with its verification, FAILED with its lock, ABANDONED when the code is
replaced or expires. (Of a sending that failed, where deliveries are followed; of a code that nobody tries, in the
scheduler.)"""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from contactship_common.contact_center.interactions import RUNNING, publish_completed
from contactship_common.models import Interaction, InteractionStatus, Outcome
from contactship_common.uow import UnitOfWork


async def end(uow: UnitOfWork, interaction_id: UUID | None, status: InteractionStatus) -> None:
    """End it, unless it has ended already or is gone."""
    if interaction_id is None:
        return
    now: Any = sa.func.clock_timestamp()
    values: dict[str, Any] = {"status": status, "ended_at": now, "updated_at": now}
    if status is InteractionStatus.COMPLETED:
        values["outcome"] = Outcome.RESOLVED
    running = sa.update(Interaction).where(col(Interaction.id) == interaction_id, col(Interaction.status).in_(RUNNING))
    ended = await uow.session.execute(running.values(values).returning(col(Interaction.id)))
    if status is InteractionStatus.COMPLETED:
        await publish_completed(uow, list(ended.scalars()))
