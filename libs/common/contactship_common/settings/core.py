"""What every process needs: environment, database, Redis, broker, logging, and the timing of tasks."""

import os
from enum import StrEnum
from typing import Annotated, Literal, Self
from urllib.parse import quote

from pydantic import BeforeValidator, field_validator, model_validator

from contactship_common.outbound.addresses import Network, parse_networks
from contactship_common.outbound.signing import key_of
from contactship_common.settings.fields import SettingsGroup, setting

IGNORED_NAMES = ("CACHE_STRATEGY", "QUEUE_NAME", "CELERY_RESULT_BACKEND", "ELEVENLABS_PROVIDER_NAME")
"""Variables of older systems that mean nothing here; a process that finds one set says so once and goes on."""


LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
_OTHER_LEVELS = {
    "VERBOSE": "DEBUG",
    "TRACE": "DEBUG",
    "LOG": "INFO",
    "WARN": "WARNING",
    "FATAL": "ERROR",
    "CRITICAL": "ERROR",
}


def _log_level(value: object) -> object:
    """In any case, and by the words that other systems use."""
    word = str(value).strip().upper()
    return _OTHER_LEVELS.get(word, word)


class Environment(StrEnum):
    DEVELOPMENT = "development"
    TEST = "test"
    STAGING = "staging"
    PRODUCTION = "production"


class CoreSettings(SettingsGroup):
    """Database, Redis, logging and task timing. Durations are seconds unless the name says otherwise."""

    environment: Environment = setting(
        Environment.DEVELOPMENT,
        "ENVIRONMENT",
        "NODE_ENV",
        about="`development`, `test`, `staging` or `production`.",
        danger="`production` refuses default secrets and never makes a default admin.",
    )
    log_level: Annotated[LogLevel, BeforeValidator(_log_level)] = setting(
        "INFO", "LOG_LEVEL", about="DEBUG, INFO, WARNING or ERROR."
    )

    database_url: str = setting(
        "",
        "DATABASE_URL",
        about="PostgreSQL 15 or newer. `postgres://`, `postgresql://` and `postgresql+psycopg://` work, with "
        "`?sslmode=` and `?schema=`. Empty: built from POSTGRES_*.",
        secret=True,
    )
    postgres_host: str = setting("", "POSTGRES_HOST", about="Used when DATABASE_URL is empty.")
    postgres_port: int = setting(5432, "POSTGRES_PORT", about="Used when DATABASE_URL is empty.")
    postgres_user: str = setting("postgres", "POSTGRES_USER", about="Used when DATABASE_URL is empty.")
    postgres_password: str = setting("", "POSTGRES_PASSWORD", about="Used when DATABASE_URL is empty.", secret=True)
    postgres_db: str = setting("contactship", "POSTGRES_DB", about="Used when DATABASE_URL is empty.")
    db_pool_size: int = setting(
        10,
        "DB_POOL_SIZE",
        unit="connections",
        ge=1,
        le=500,
        about="Connections a process keeps for units of work.",
        danger="Processes x (DB_POOL_SIZE + DB_FAST_POOL_SIZE), and 2 more a worker, must stay below the server's "
        "max_connections.",
    )
    db_fast_pool_size: int = setting(
        6,
        "DB_FAST_POOL_SIZE",
        unit="connections",
        ge=1,
        le=500,
        about="Further connections for single hot statements.",
    )
    db_pool_timeout: float = setting(
        5.0, "DB_POOL_TIMEOUT", unit="seconds", gt=0, about="Wait for a free connection, then answer 503."
    )
    db_pooler: bool = setting(
        False,
        "DB_POOLER",
        about="Set it when a transaction pooler (PgBouncer) stands in front: no prepared statements, no session state.",
        danger="With `?schema=` the search_path must then be set on the database role.",
    )

    redis_url: str = setting(
        "",
        "REDIS_URL",
        about="Redis 6.2 or newer, or Valkey; `rediss://` for TLS. Empty: built from REDIS_*.",
        danger="May vanish at any moment: nothing is lost, things are slower for a few seconds.",
        secret=True,
    )
    redis_host: str = setting("", "REDIS_HOST", about="Used when REDIS_URL is empty.")
    redis_port: int = setting(6379, "REDIS_PORT", about="Used when REDIS_URL is empty.")
    redis_password: str = setting("", "REDIS_PASSWORD", about="Used when REDIS_URL is empty.", secret=True)
    redis_db: int = setting(0, "REDIS_DB", about="Used when REDIS_URL is empty.")
    broker_url: str = setting(
        "",
        "BROKER_URL",
        "CELERY_BROKER_URL",
        about="Where Dramatiq rings: `redis://`, `rediss://`, `amqp://` or `amqps://` (RabbitMQ). "
        "Empty: built from BULLMQ_REDIS_*, else the same Redis.",
        danger="A Redis needs `noeviction`; one that evicts may serve the cache only.",
        secret=True,
    )
    bullmq_redis_host: str = setting("", "BULLMQ_REDIS_HOST", about="Older name for the broker's Redis.")
    bullmq_redis_port: int = setting(6379, "BULLMQ_REDIS_PORT", about="Older name for the broker's Redis.")
    bullmq_redis_password: str = setting("", "BULLMQ_REDIS_PASSWORD", about="Older name.", secret=True)

    default_cache_ttl: int = setting(
        60,
        "DEFAULT_CACHE_TTL",
        unit="seconds",
        ge=0,
        about="How long a cached answer may live; 0: no cache.",
    )

    task_lease: float = setting(
        30.0,
        "TASK_LEASE",
        unit="seconds",
        gt=0,
        about="A running task belongs to its worker this long after the last renewal (renewed every third of it).",
        danger="Too short and a stalled worker loses work it is still doing; too long and recovery from kill -9 waits.",
    )
    task_ring_again: float = setting(
        10.0,
        "TASK_RING_AGAIN",
        unit="seconds",
        gt=0,
        about="A task that was rung and not claimed is rung again.",
    )
    task_backoff: float = setting(
        2.0,
        "TASK_BACKOFF",
        unit="seconds",
        gt=0,
        about="First wait after a failed run; doubles up to 10 min.",
    )
    dispatcher_tick: float = setting(
        0.25, "DISPATCHER_TICK", unit="seconds", gt=0, about="How often the scheduler looks for due and lost tasks."
    )
    task_max_attempts: int = setting(
        5,
        "TASK_MAX_ATTEMPTS",
        ge=1,
        le=100,
        about="Failed runs that end a task (AI tasks: AI_MAX_RETRIES).",
    )
    idempotency_ttl: int = setting(
        86_400, "IDEMPOTENCY_TTL", ge=60, unit="seconds", about="How long an Idempotency-Key is remembered."
    )
    classification_file: str = setting(
        "",
        "CLASSIFICATION_FILE",
        about="YAML file with the categories that meetings are classified by. Empty: the bundled ones.",
        danger="The gateway and the AI worker must read the same file.",
    )
    callback_signing_secret: str = setting(
        "",
        "CALLBACK_SIGNING_SECRET",
        about="Signs what is sent to a `callbackUrl` (Standard Webhooks): `whsec_` and base64, or any text, "
        "whose bytes are then the key. Empty: requests with a `callbackUrl` are refused.",
        secret=True,
    )
    outbound_allow_cidrs: str = setting(
        "",
        "OUTBOUND_ALLOW_CIDRS",
        about="Private networks, separated by commas, that callbacks and outbound webhooks may reach all the same.",
        danger="Meant for tests and for receivers inside your own network: whoever may name a URL reaches them.",
    )
    task_retention_days: int = setting(
        30, "TASK_RETENTION_DAYS", ge=1, unit="days", about="Finished tasks are deleted after this long."
    )
    inbox_retention_days: int = setting(
        30,
        "INBOX_RETENTION_DAYS",
        ge=1,
        unit="days",
        about="Bodies of webhooks are deleted so long after they were handled, or, if they never were, after they "
        "came; they cannot be replayed then.",
    )

    @field_validator("outbound_allow_cidrs")
    @classmethod
    def _check_networks(cls, text: str) -> str:
        parse_networks(text)
        return text

    @field_validator("callback_signing_secret")
    @classmethod
    def _check_secret(cls, secret: str) -> str:
        if secret:
            key_of(secret)
        return secret

    @model_validator(mode="after")
    def _build_urls(self) -> Self:
        if not self.database_url and self.postgres_host:
            auth = f"{quote(self.postgres_user, safe='')}:{quote(self.postgres_password, safe='')}"
            url = f"postgresql://{auth}@{self.postgres_host}:{self.postgres_port}/{quote(self.postgres_db, safe='')}"
            object.__setattr__(self, "database_url", url)
        if not self.redis_url and self.redis_host:
            auth = f":{quote(self.redis_password, safe='')}@" if self.redis_password else ""
            object.__setattr__(self, "redis_url", f"redis://{auth}{self.redis_host}:{self.redis_port}/{self.redis_db}")
        if not self.broker_url:
            url = self.redis_url
            if self.bullmq_redis_host:
                auth = f":{quote(self.bullmq_redis_password, safe='')}@" if self.bullmq_redis_password else ""
                url = f"redis://{auth}{self.bullmq_redis_host}:{self.bullmq_redis_port}/0"
            object.__setattr__(self, "broker_url", url)
        return self

    @property
    def outbound_networks(self) -> tuple[Network, ...]:
        """Private networks that may be reached with URLs that came through the API."""
        return parse_networks(self.outbound_allow_cidrs)

    @property
    def is_production(self) -> bool:
        return self.environment is Environment.PRODUCTION


def ignored_names_set() -> list[str]:
    """Older variables without a meaning here that are set in this environment."""
    return [name for name in IGNORED_NAMES if os.environ.get(name)]
