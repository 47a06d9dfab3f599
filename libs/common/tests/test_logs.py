"""What must not reach a log."""

import io
import json
import logging

import psycopg
import pytest
import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from contactship_common.db import Database
from contactship_common.logs import configure_logging, without_rows
from contactship_common.periodic import periodically
from contactship_common.settings import CoreSettings

_USER = """
INSERT INTO users (id, email, password_hash, role, active) VALUES (gen_random_uuid(), :email, :hash, 'ADMIN', true)
"""
# Not in the line that fails: a traceback shows source lines.
_ROW = {"email": "jane@example.com", "hash": "$argon2id$secret"}


async def _log_a_refusal(session: AsyncSession) -> None:
    try:
        await session.execute(sa.text(_USER), _ROW)
        await session.execute(sa.text(_USER), _ROW)
    except sa.exc.IntegrityError:
        structlog.get_logger().exception("thing.failed")


@pytest.mark.parametrize("environment", ["production", "development"])
async def test_a_logged_database_error_names_the_rule_and_not_the_row(
    database_url: str, redis_url: str, capsys: pytest.CaptureFixture[str], environment: str
) -> None:
    settings = CoreSettings(database_url=database_url, redis_url=redis_url, environment=environment)
    root = logging.getLogger()
    before, configured = (root.handlers, root.level), structlog.get_config()
    database = Database(settings)
    try:
        configure_logging(settings, "test")
        async with database.sessions() as session:
            await _log_a_refusal(session)
    finally:
        await database.close()
        root.handlers, root.level = before[0], before[1]
        structlog.configure(**configured)
    written = capsys.readouterr().err
    assert "uq_users_email" in written
    assert "thing.failed" in written
    assert "jane@example.com" not in written
    assert "argon2" not in written


def test_errors_of_other_kinds_keep_their_words() -> None:
    error = ValueError("the mapping names no column")
    assert without_rows(None, "error", {"exc_info": error})["exc_info"] is error
    assert str(error) == "the mapping names no column"


async def test_a_loop_outlives_an_error_that_nobody_foresaw() -> None:
    turns: list[int] = []

    class _Enough(BaseException):
        pass

    async def step() -> None:
        turns.append(1)
        if len(turns) == 1:
            raise psycopg.errors.UndefinedTable("worker_heartbeats")
        if len(turns) == 3:
            raise _Enough

    with pytest.raises(_Enough):
        await periodically("beat", step, every_seconds=0.001)
    assert len(turns) == 3


class _FullDisk(io.StringIO):
    def write(self, _line: str) -> int:
        raise OSError(28, "No space left on device")


class _Unreadable:
    def __repr__(self) -> str:
        raise RuntimeError("cannot be told")


def test_logging_never_fails_whoever_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    before, configured = (root.handlers, root.level), structlog.get_config()
    written = io.StringIO()
    try:
        for stream in (_FullDisk(), written):
            monkeypatch.setattr("sys.stderr", stream)
            configure_logging(CoreSettings(environment="production"), "test")
            structlog.configure(cache_logger_on_first_use=False)
            log = structlog.get_logger()
            log.info("thing.happened", what=_Unreadable())
            log.info("thing.happened", what={"a": {2}})
    finally:
        root.handlers, root.level = before
        structlog.configure(**configured)
    first, second = (json.loads(line) for line in written.getvalue().splitlines())
    assert (first["event"], first["of"]) == ("log.unreadable", "thing.happened")
    assert second["event"] == "thing.happened"
