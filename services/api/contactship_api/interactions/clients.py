"""Everything with one number: the customer's view."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from contactship_api.http.personal_data import PersonalData
from contactship_api.interactions import showing
from contactship_api.interactions.errors import PhoneNotUnderstood
from contactship_api.interactions.queries import e164, shown_rows
from contactship_api.interactions.schemas import ChannelCount, ClientView
from contactship_common.models import (
    Direction,
    Interaction,
    InteractionChannel,
    LeadPhone,
    Outcome,
)
from contactship_common.models.contact_center import ENDED_INTERACTIONS


def percent(part: int, whole: int) -> float:
    """To one place; 0 of nothing."""
    return round(100 * part / whole, 1) if whole else 0.0


async def view(session: AsyncSession, phone: str, personal: PersonalData, *, region: str) -> ClientView:
    """A number that nobody has had anything to do with has a view of zeros.

    Raises:
        PhoneNotUnderstood
    """
    number = e164(phone, region)
    if number is None:
        raise PhoneNotUnderstood
    theirs = col(Interaction.customer_phone) == number
    ended = col(Interaction.status).in_(sorted(ENDED_INTERACTIONS))
    counted = sa.select(
        col(Interaction.channel),
        col(Interaction.direction),
        sa.func.count().label("n"),
        sa.func.count().filter(ended).label("ended"),
        sa.func.count().filter(ended, col(Interaction.outcome) == Outcome.RESOLVED).label("resolved"),
        sa.func.min(col(Interaction.started_at)).label("began"),
        sa.func.max(col(Interaction.started_at)).label("latest"),
    ).where(theirs).group_by(col(Interaction.channel), col(Interaction.direction))  # fmt: skip
    rows = (await session.execute(counted)).all()
    newest = shown_rows().where(theirs).order_by(col(Interaction.started_at).desc(), col(Interaction.id).desc())
    last = (await session.execute(newest.limit(1))).first()
    lead = sa.select(col(LeadPhone.lead_id)).where(col(LeadPhone.phone_e164) == number)
    lead_id = (await session.execute(lead)).scalar_one_or_none() or (last.Interaction.lead_id if last else None)

    def of(column: str, **having: str) -> int:
        return sum(getattr(row, column) for row in rows if all(getattr(row, n) == v for n, v in having.items()))

    return ClientView(
        phone=personal.phone(number),
        lead_id=lead_id,
        lead_url=f"/api/v1/leads/{lead_id}" if lead_id else None,
        total=of("n"),
        by_channel=[ChannelCount(channel=one, count=of("n", channel=one)) for one in InteractionChannel],
        inbound=of("n", direction=Direction.INBOUND),
        outbound=of("n", direction=Direction.OUTBOUND),
        ended=of("ended"),
        resolved=of("resolved"),
        resolved_percent=percent(of("resolved"), of("ended")),
        first_contact_at=min((row.began for row in rows), default=None),
        last_contact_at=max((row.latest for row in rows), default=None),
        last_interaction=showing.interaction(last, personal) if last else None,
    )
