"""The walk of docs/how-to/backup-and-restore.md: dump a working system, restore it elsewhere, go on there."""

import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from alembic import command
from system_testkit import SceneFactory

from contactship_common.db import plain_url
from contactship_common.migrate import alembic_config, upgrade
from contactship_devstack.pgbinaries import binaries
from contactship_devstack.template import on_server

pytestmark = pytest.mark.system

_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"


def run(program: str, *arguments: str | Path) -> str:
    """As an operator types it; printed with its output (`pytest -s`), which is what the how-to shows."""
    shown = " ".join(str(argument) for argument in arguments)
    done = subprocess.run(
        [str(binaries() / program), *map(str, arguments)], capture_output=True, text=True, check=False
    )
    print(f"$ {program} {shown}\n{(done.stdout + done.stderr)[-1500:]}")
    assert done.returncode == 0, done.stderr
    return done.stdout


def counts(url: str) -> dict[str, int]:
    """Rows by table."""
    with psycopg.connect(plain_url(url)) as connection:
        tables = [row[0] for row in connection.execute(_TABLES)]
        return {
            table: connection.execute(f'SELECT count(*) FROM "{table}"'.encode()).fetchone()[0]  # type: ignore[index]
            for table in tables
        }


def test_a_restored_system_goes_on_with_the_work_that_was_waiting(
    make_scene: SceneFactory, postgres_admin: psycopg.Connection, postgres_url: str, tmp_path: Path
) -> None:
    scene = make_scene("api")  # nobody works: what is accepted waits
    leads = list(scene.insert_leads(25).values())
    for lead in leads:
        scene.summarize(lead)
    source = plain_url(scene.stack.database_url)
    before = counts(source)
    dump = tmp_path / "contactship.dump"
    run("pg_dump", "--format=custom", "--no-owner", "--no-acl", f"--file={dump}", f"--dbname={source}")
    assert "TABLE DATA public tasks" in run("pg_restore", "--list", dump)
    scene.summarize(scene.make_lead()[0])  # after the dump: not in it

    name = f"{urlsplit(source).path.lstrip('/')}_restored"
    postgres_admin.execute(f'CREATE DATABASE "{name}" TEMPLATE template0'.encode())
    restored = on_server(postgres_url, name)
    try:
        run("pg_restore", "--exit-on-error", "--no-owner", "--jobs=2", f"--dbname={plain_url(restored)}", dump)
        run("vacuumdb", "--analyze-only", "--quiet", f"--dbname={plain_url(restored)}")
        assert counts(restored) == before
        upgrade(restored)  # contactship-migrate: nothing to do
        command.check(alembic_config(restored))

        second = make_scene("api", "scheduler", "ai_worker", env={"DATABASE_URL": restored})
        with psycopg.connect(plain_url(restored), autocommit=True) as connection:

            def done() -> bool:
                row = connection.execute("SELECT count(*) FROM tasks WHERE status = 'succeeded'").fetchone()
                return row == (len(leads),)

            second.until(done, "the restored tasks to be done", seconds=60)
        assert all(second.lead(lead)["summary"] for lead in leads)
        second.stack.close()
    finally:
        postgres_admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())
