"""The two servers of a stack: given by the environment, or embedded in the data folder."""

import os
from dataclasses import dataclass

import psycopg
import redis
from pydantic import ValidationError
from redis.backoff import NoBackoff
from redis.retry import Retry

from contactship_common.settings import CoreSettings
from contactship_devstack import postgres, valkey
from contactship_devstack.data_folder import DataFolder
from contactship_devstack.environment import is_set, without_password
from contactship_devstack.errors import DevstackError
from contactship_devstack.postgres import PostgresServer
from contactship_devstack.valkey import ValkeyServer

DATABASE = "contactship"
_CONNECT_TIMEOUT_S = 5


@dataclass
class Servers:
    """Addresses, and the servers behind them where they are ours."""

    database_url: str
    redis_url: str
    postgres: PostgresServer | None = None
    valkey: ValkeyServer | None = None

    @property
    def environment(self) -> dict[str, str]:
        return {"DATABASE_URL": self.database_url, "REDIS_URL": self.redis_url}

    def revive(self) -> list[str]:
        """Start again what somebody else ended; returns what was dead."""
        dead: list[str] = []
        if self.postgres and self.postgres.pid is None:
            self.postgres.start()
            dead.append("PostgreSQL")
        if self.valkey and self.valkey.pid is None:
            self.valkey.start()
            dead.append("Valkey")
        return dead

    def stop(self) -> None:
        """Stop what is embedded; foreign servers are left alone."""
        if self.valkey:
            self.valkey.stop()
        if self.postgres:
            self.postgres.stop()


def start_servers(data: DataFolder) -> Servers:
    """Check what the environment names and embed the rest. Raises DevstackError with one line about what is wrong.

    If one of two embedded servers fails, the other is stopped again.
    """
    servers = Servers(database_url="", redis_url="")
    try:
        if is_set("DATABASE_URL", "POSTGRES_HOST"):
            servers.database_url = configured().database_url
            check_database(servers.database_url)
        else:
            servers.postgres = postgres.development_server(data.path)
            servers.postgres.start()
            servers.database_url = servers.postgres.create_database(DATABASE)
        if is_set("REDIS_URL", "REDIS_HOST"):
            servers.redis_url = configured().redis_url
            check_redis(servers.redis_url)
        else:
            servers.valkey = valkey.development_server(data.path)
            servers.valkey.start()
            servers.redis_url = servers.valkey.url
    except BaseException:
        servers.stop()
        raise
    return servers


def configured() -> CoreSettings:
    """The settings as the processes themselves read them."""
    try:
        return CoreSettings()
    except ValidationError as error:
        first = error.errors()[0]
        raise DevstackError(f"setting {first['loc'][0] if first['loc'] else ''}: {first['msg']}") from None


def check_database(url: str) -> None:
    """Raises DevstackError, without the password, if nobody answers there."""
    from contactship_common.db import plain_url

    try:
        psycopg.connect(plain_url(url), connect_timeout=_CONNECT_TIMEOUT_S).close()
    except (psycopg.Error, ValueError) as error:
        raise DevstackError(
            f"cannot reach the database at {without_password(url)} ({_first_line(error)}); "
            "check DATABASE_URL / POSTGRES_*, or unset them to use the embedded one"
        ) from None


def check_redis(url: str) -> None:
    """Raises DevstackError, without the password, if nobody answers there."""
    try:
        with redis.Redis.from_url(
            url,
            socket_connect_timeout=_CONNECT_TIMEOUT_S,
            socket_timeout=_CONNECT_TIMEOUT_S,
            retry=Retry(NoBackoff(), retries=0),
        ) as client:
            client.ping()
    except (redis.RedisError, ValueError, OSError) as error:
        raise DevstackError(
            f"cannot reach Redis at {without_password(url)} ({_first_line(error)}); "
            "check REDIS_URL / REDIS_*, or unset them to use the embedded one"
        ) from None


def found_servers(data: DataFolder) -> tuple[str, str]:
    """Database and Redis address of what runs now or what the environment names; "" for what there is none of."""
    running = data.running()
    database = configured().database_url or (running.database_url if running else "")
    redis_address = configured().redis_url or (running.redis_url if running else "")
    return database, redis_address


def command_environment(database_url: str, redis_url: str) -> dict[str, str]:
    """The environment for a command beside a running stack."""
    return {**os.environ, "DATABASE_URL": database_url, **({"REDIS_URL": redis_url} if redis_url else {})}


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
