"""Bring a database to the newest schema: `contactship-migrate`, and what tests and `make run` call.

Safe to run from several places at once (an advisory lock), and never waits long for a table somebody else holds
(`lock_timeout`): a migration that cannot get its lock fails and is tried again by the operator, instead of queueing
every query behind it.
"""

import sys
from pathlib import Path

import psycopg
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from contactship_common.db import alchemy_url, check_url, plain_url, schema_of, search_path_option
from contactship_common.settings import CoreSettings, explain

MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK_ID = 0x636F6E74616374  # "contact"


def alembic_config(database_url: str) -> Config:
    """The Alembic configuration, without an ini file."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["database_url"] = database_url
    return config


def upgrade(database_url: str) -> None:
    """Apply every migration that is missing.

    Raises:
        psycopg.OperationalError: the database cannot be reached.
    """
    with psycopg.connect(plain_url(database_url), autocommit=True, connect_timeout=5) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK_ID])
        if schema := schema_of(database_url):
            connection.execute(psycopg.sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(psycopg.sql.Identifier(schema)))
        command.upgrade(alembic_config(database_url), "head")


def make_engine(database_url: str) -> sa.Engine:
    """A synchronous engine for Alembic."""
    options = "-c lock_timeout=5000 -c timezone=UTC"
    if schema := schema_of(database_url):
        options += f" {search_path_option(schema)}"
    return sa.create_engine(alchemy_url(database_url), connect_args={"options": options}, poolclass=sa.pool.NullPool)


def main() -> None:
    """Entry point of `contactship-migrate`; one clear line and status 1 when it cannot be done."""
    try:
        settings = CoreSettings()
        check_url(settings.database_url)
        upgrade(settings.database_url)
    except ValueError as error:
        sys.exit(f"contactship-migrate: {explain(error)}")
    except (psycopg.Error, sa.exc.SQLAlchemyError) as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        sys.exit(f"contactship-migrate: {reason}")
    sys.stdout.write("contactship-migrate: the database is up to date\n")
