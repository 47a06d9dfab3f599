"""The fixtures that every package's tests stand on."""

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from contactship_devstack.valkey import ValkeyServer


def test_an_empty_database_has_no_tables_and_takes_utf_8(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
        upper = connection.execute("SELECT upper('ñandú')").fetchone()
    assert tables == (0,)
    assert upper == ("ÑANDÚ",)


def test_a_test_database_is_migrated(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT to_regclass('public.tasks') IS NOT NULL").fetchone() == (True,)


class TestEveryTestStartsClean:
    """Two tests that would each fail after the other, whichever runs first."""

    def test_once(self, empty_database_url: str, redis_url: str) -> None:
        self._leave_something(empty_database_url, redis_url)

    def test_and_once_more(self, empty_database_url: str, redis_url: str) -> None:
        self._leave_something(empty_database_url, redis_url)

    def _leave_something(self, database_url: str, redis_url: str) -> None:
        with psycopg.connect(database_url) as connection:
            connection.execute("CREATE TABLE left_behind ()")
        with redis.Redis.from_url(redis_url) as client:
            assert client.dbsize() == 0
            client.set("left", "behind")


def test_a_valkey_that_a_test_killed_runs_again_for_the_next(valkey: ValkeyServer) -> None:
    address = valkey.url
    valkey.kill()
    assert valkey.pid is None
    valkey.start()
    assert valkey.url == address


def test_valkey_wants_the_password(valkey: ValkeyServer) -> None:
    with (
        redis.Redis(port=valkey.port, retry=Retry(NoBackoff(), retries=0)) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()
