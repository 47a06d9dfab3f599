"""Names of what is cached, so that whoever changes a thing and whoever caches it agree."""

from uuid import UUID


def lead_key(lead_id: UUID) -> str:
    """The finished JSON of `GET /leads/{id}`."""
    return f"cs:lead:{lead_id}"
