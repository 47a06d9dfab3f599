"""What all tables share: the metadata with its naming convention, ids, and the columns that recur."""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


def new_id() -> UUID:
    """A UUIDv7: unique, and sorts by the time it was made."""
    return uuid7()


def id_column() -> Any:
    """The primary key of a table: a UUIDv7 made in the application."""
    return Field(default_factory=new_id, primary_key=True)


def utc_column(*, default_now: bool = False, index: bool = False, nullable: bool = True) -> Any:
    """A `timestamptz` column; with `default_now` the database sets it at insert and it is never null."""
    if default_now:
        return Field(
            default=None,
            sa_type=sa.DateTime(timezone=True),
            sa_column_kwargs={"server_default": sa.func.now(), "nullable": False},
            index=index,
        )
    return Field(default=None, sa_type=sa.DateTime(timezone=True), nullable=nullable, index=index)
