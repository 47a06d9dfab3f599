"""How the worker processes run."""

from contactship_common.settings.fields import SettingsGroup, setting


class WorkerSettings(SettingsGroup):
    """Threads, limits and the health port of one worker process."""

    worker_concurrency: int = setting(
        0,
        "WORKER_CONCURRENCY",
        unit="tasks at once",
        ge=0,
        le=2_000,
        about="Threads of one process; waiting is cheap. 0: the worker's default (AI 256, sync 16, delivery 64).",
    )
    worker_health_host: str = setting(
        "0.0.0.0",  # noqa: S104  # a container's probes come from outside the process's network namespace
        "WORKER_HEALTH_HOST",
        about="Address of the health port.",
    )
    worker_health_port: int = setting(
        8081, "WORKER_HEALTH_PORT", ge=0, le=65_535, about="Health and metrics of a worker; 0 picks a free one."
    )
    task_timeout: float = setting(
        0.0,
        "TASK_TIMEOUT",
        unit="seconds",
        ge=0,
        about="Upper limit for one run of any task; 0: each kind's own limit.",
    )
    shutdown_grace: float = setting(
        25.0,
        "SHUTDOWN_GRACE",
        unit="seconds",
        ge=0,
        about="After SIGTERM running tasks may finish this long; what remains is handed back to the queue.",
        danger="The container's stop timeout must be at least 5 s longer.",
    )
    heartbeat_interval: float = setting(
        5.0, "HEARTBEAT_INTERVAL", unit="seconds", gt=0, about="How often a worker says that it lives."
    )
