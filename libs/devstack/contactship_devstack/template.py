"""A migrated database that tests clone in milliseconds instead of migrating one each."""

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from contactship_devstack.postgres import PostgresServer

SHARED_POSTGRES = "CONTACTSHIP_TEST_POSTGRES"
"""Environment variable with the administrator's address of the server that `make test` started for all processes."""

_LOCK = 7_246_001
"""Advisory lock: one process at a time makes a template. The number means nothing else in this server."""


@dataclass(frozen=True)
class TemplateDatabase:
    name: str

    @classmethod
    def ensure(cls, admin: psycopg.Connection, admin_url: str) -> "TemplateDatabase":
        """Find or make the template of this version of the schema. Safe against other processes doing the same.

        `admin` is an administrator's connection in autocommit mode; the lock is the session's and needs that.
        """
        template = cls(f"template_{schema_version()}")
        admin.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        try:
            if not _exists(admin, template.name):
                template._build(admin, admin_url)
        finally:
            admin.execute("SELECT pg_advisory_unlock(%s)", (_LOCK,))
        return template

    def _build(self, admin: psycopg.Connection, admin_url: str) -> None:
        from contactship_common.migrate import upgrade

        building = f"{self.name}_building"  # what a killed process left half migrated is never taken for the template
        admin.execute(f'DROP DATABASE IF EXISTS "{building}" WITH (FORCE)'.encode())
        admin.execute(f'CREATE DATABASE "{building}" TEMPLATE template0'.encode())
        upgrade(on_server(admin_url, building))
        # Only a database without any connection can be cloned.
        admin.execute(f'ALTER DATABASE "{building}" ALLOW_CONNECTIONS false'.encode())
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (building,))
        admin.execute(f'ALTER DATABASE "{building}" RENAME TO "{self.name}"'.encode())


def migrated_database(server: PostgresServer, name: str = "contactship") -> str:
    """A migrated database on a server of your own; returns its address."""
    from contactship_common.migrate import upgrade

    url = server.create_database(name)
    upgrade(url)
    return url


def on_server(url: str, database: str) -> str:
    """The address of another database on the same server."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/{database}" + (f"?{parts.query}" if parts.query else "")


def schema_version() -> str:
    """A hash of everything that decides how the tables look: the models and the migrations."""
    spec = find_spec("contactship_common")
    assert spec is not None
    assert spec.submodule_search_locations
    package = Path(next(iter(spec.submodule_search_locations)))
    digest = hashlib.sha256()
    for folder in ("models", "migrations"):
        for file in sorted((package / folder).rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(str(file.relative_to(package)).encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _exists(admin: psycopg.Connection, name: str) -> bool:
    return admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone() is not None
