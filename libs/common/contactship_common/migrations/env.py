"""Alembic's entry: one transaction a migration, on the URL that `contactship_common.migrate` was given."""

from alembic import context
from sqlmodel import SQLModel

import contactship_common.models  # noqa: F401  # registers every table
from contactship_common.migrate import make_engine
from contactship_common.settings import CoreSettings

database_url = context.config.attributes.get("database_url") or CoreSettings().database_url


def run() -> None:
    with make_engine(database_url).connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=SQLModel.metadata,
            transaction_per_migration=True,
            compare_type=True,
            compare_server_default=False,
        )
        with context.begin_transaction():
            context.run_migrations()


run()
