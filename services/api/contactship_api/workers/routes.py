"""/workers/stats. (/workers/health is public and stands with the other health answers.)"""

from contactship_api.access.requires import TasksRead
from contactship_api.deps import Reading
from contactship_api.http.route import api_router
from contactship_api.workers import queries
from contactship_api.workers.schemas import WorkerStats

router = api_router(prefix="/workers", tags=["workers"])


@router.get("/stats", response_model=WorkerStats)
async def get_stats(who: TasksRead, session: Reading) -> WorkerStats:
    """How much waits in each queue and for how long, how fast it goes and how often it fails, and which workers
    live."""
    return await queries.stats(session)
