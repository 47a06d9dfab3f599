"""Starting a run by hand, and what is known about the sources."""

from sqlalchemy.ext.asyncio import AsyncSession

from contactship_api.sync import queries
from contactship_api.sync.schemas import LastRun, SourceOut, SyncAccepted, SyncJobOut, Trigger
from contactship_common import sync_jobs
from contactship_common.errors import SourceNotFound
from contactship_common.settings import SyncSettings
from contactship_common.uow import UnitOfWork


async def trigger(uow: UnitOfWork, settings: SyncSettings, body: Trigger) -> SyncAccepted:
    """A new run of the source, or the one that is going on.

    Raises:
        SourceNotFound: no source of this name is configured.
    """
    source = body.source or settings.default_source
    if source is None or source not in settings.sources:
        raise SourceNotFound
    started = await sync_jobs.start(uow, source, batch_size=body.batch_size or settings.batch_size_of(source))
    return SyncAccepted(**SyncJobOut.of(started.job).model_dump(), task_id=started.task_id)


async def list_sources(session: AsyncSession, settings: SyncSettings) -> list[SourceOut]:
    """All configured sources, with their last and next runs."""
    last, now = await queries.last_runs(session, list(settings.sources))
    found = []
    for name, entry in settings.sources.items():
        cron = settings.cron_of(name)
        found.append(
            SourceOut(
                name=name,
                type=entry.type,
                cron=cron.text if cron else None,
                batch_size=settings.batch_size_of(name),
                last_run=LastRun.model_validate(last[name]) if name in last else None,
                next_run=cron.following(now) if cron else None,
            )
        )
    return found
