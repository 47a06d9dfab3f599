"""What to say about a lead that is not there: nothing, or where it went."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from contactship_common.errors import LeadNotFound
from contactship_common.models import MergedLead


async def lead_missing(session: AsyncSession, lead_id: UUID) -> LeadNotFound:
    """The error to raise; for a lead that was merged it carries `mergedInto`."""
    merged = await session.get(MergedLead, lead_id)
    if merged is None:
        return LeadNotFound()
    return LeadNotFound("This lead was merged into another", mergedInto=str(merged.into_id))
