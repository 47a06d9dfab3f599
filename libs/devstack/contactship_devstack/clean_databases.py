"""Migrated databases for one test after the other: emptied instead of dropped and cloned again.

A clone of the template takes a tenth of a second, most of what a small test costs; deleting the few rows that a test
left takes a fifth of that. A database whose schema a test changed, that has grown, or that somebody is still connected
to is dropped instead.
"""

import uuid

import psycopg
from psycopg import sql

from contactship_devstack.template import TemplateDatabase, on_server

# Whatever changes a table, a type, a function, a constraint or a trigger leaves a row of another transaction in one of
# these.
_SCHEMA = """
SELECT string_agg(concat(name, ' ', rows, ' ', newest), ', ' ORDER BY name) FROM (
    SELECT 'attribute', count(*), max(xmin::text::bigint) FROM pg_attribute WHERE attrelid >= 16384 UNION ALL
    SELECT 'attrdef', count(*), max(xmin::text::bigint) FROM pg_attrdef UNION ALL
    SELECT 'constraint', count(*), max(xmin::text::bigint) FROM pg_constraint UNION ALL
    SELECT 'event trigger', count(*), max(xmin::text::bigint) FROM pg_event_trigger UNION ALL
    SELECT 'function', count(*), max(xmin::text::bigint) FROM pg_proc UNION ALL
    SELECT 'namespace', count(*), max(xmin::text::bigint) FROM pg_namespace WHERE nspname !~ '^pg_' UNION ALL
    SELECT 'policy', count(*), max(xmin::text::bigint) FROM pg_policy UNION ALL
    SELECT 'rule', count(*), max(xmin::text::bigint) FROM pg_rewrite UNION ALL
    SELECT 'setting', count(*), 0 FROM pg_db_role_setting UNION ALL
    SELECT 'trigger', count(*), max(xmin::text::bigint) FROM pg_trigger UNION ALL
    SELECT 'type', count(*), max(xmin::text::bigint) FROM pg_type WHERE oid >= 16384
) AS catalogs (name, rows, newest)
"""
_WRITTEN = """
SELECT relname, pg_relation_size(oid) FROM pg_class
 WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND pg_relation_size(oid) > 0
"""
_MOST_BYTES = 512 * 1024
"""Deleted rows stay until somebody vacuums; beyond this a new clone is better."""

_CONNECTED = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


class CleanDatabases:
    """Lends databases of one server; `admin` is a connection in autocommit mode."""

    def __init__(self, admin: psycopg.Connection, admin_url: str, template: TemplateDatabase) -> None:
        self._admin = admin
        self._admin_url = admin_url
        self._template = template
        self._free: list[str] = []
        self._schema: dict[str, str] = {}
        self._seeded: frozenset[str] = frozenset()

    def take(self) -> str:
        """The address of a database that is as the migrations left it."""
        name = self._free.pop() if self._free else self._clone()
        return on_server(self._admin_url, name)

    def give_back(self, url: str) -> None:
        """Empty it for the next test, or drop it."""
        with psycopg.connect(url, autocommit=True) as connection:
            name = connection.info.dbname
            clean = self._empty(name, connection)
        if clean:
            self._free.append(name)
        else:
            self._drop(name)

    def close(self) -> None:
        for name in list(self._schema):
            self._drop(name)

    def _clone(self) -> str:
        name = f"test_{uuid.uuid4().hex[:20]}"
        self._admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{self._template.name}"'.encode())
        with psycopg.connect(on_server(self._admin_url, name), autocommit=True) as connection:
            self._schema[name] = _one(connection, _SCHEMA)
            self._seeded = frozenset(table for table, _ in connection.execute(_WRITTEN))
        return name

    def _empty(self, name: str, connection: psycopg.Connection) -> bool:
        if _one(connection, _CONNECTED) or _one(connection, _SCHEMA) != self._schema[name]:
            return False
        written = [found for found in connection.execute(_WRITTEN) if found[0] not in self._seeded]
        if sum(size for _, size in written) > _MOST_BYTES:
            return False
        connection.execute("SET session_replication_role = replica")  # neither foreign keys nor triggers have a say
        deletions = [sql.SQL("DELETE FROM {}").format(sql.Identifier(table)) for table, _ in written]
        connection.execute(
            sql.SQL("; ").join([*deletions, sql.SQL("DELETE FROM pg_statistic WHERE starelid >= 16384")])
        )
        return True

    def _drop(self, name: str) -> None:
        self._schema.pop(name, None)
        self._admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())


def _one(connection: psycopg.Connection, statement: str) -> str:
    row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return row[0]  # type: ignore[no-any-return]
