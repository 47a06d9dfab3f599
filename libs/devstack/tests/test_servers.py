"""The embedded servers: what survives, what is found again, and what is left alone."""

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from contactship_devstack import postgres, valkey
from contactship_devstack.guard import Guard
from contactship_devstack.pgbinaries import binaries, is_root, server_user
from contactship_devstack.polling import has_ended, poll
from contactship_devstack.postgres import PostgresServer
from contactship_devstack.valkey import ValkeyServer


def parents_of(*paths: Path) -> set[Path]:
    return {parent for path in paths for parent in path.resolve().parents}


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or has_ended(psutil.Process(pid))


def test_valkey_keeps_what_was_written_over_a_restart_and_a_kill(durable_valkey: ValkeyServer) -> None:
    server = durable_valkey
    server.start()
    with server.client() as client:
        client.set("name", "Ada")
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    server.restart()
    with server.client() as client:
        assert client.get("name") == b"Ada"
        client.execute_command("CONFIG", "SET", "appendfsync", "always")
        client.set("name", "Grace")
    server.kill()
    server.start()
    with server.client() as client:
        assert client.get("name") == b"Grace"


def test_postgresql_keeps_committed_rows_over_a_crash(durable_postgres: PostgresServer) -> None:
    server = durable_postgres
    server.start()
    url = server.create_database("kept")
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE names AS SELECT 'Ada' AS name")
    server.restart(crash=True)
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT name FROM names").fetchone() == ("Ada",)


@pytest.mark.skipif(not is_root(), reason="only root starts the server as somebody else")
def test_data_made_as_another_user_are_taken_over(durable_postgres: PostgresServer) -> None:
    server = durable_postgres
    server.start()
    server.stop()
    user = server_user()
    assert user is not None
    for path in (server.data, *server.data.rglob("*")):
        os.chown(path, user.pw_uid + 1, user.pw_gid + 1)
    server.start()
    assert server.create_database("kept")


def test_servers_left_by_a_killed_owner_are_found_and_reused(data_folder: Path) -> None:
    script = f"""
import os, signal
from pathlib import Path
from contactship_devstack import postgres, valkey
for module in (postgres, valkey):
    server = module.development_server(Path({str(data_folder)!r}))
    server.start()
    print(server.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    owner = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert owner.returncode == -9, owner.stderr
    pids = [int(line) for line in owner.stdout.split()]

    servers = (postgres.development_server(data_folder), valkey.development_server(data_folder))
    for server in servers:
        server.start()

    assert [server.pid for server in servers] == pids
    for server in servers:
        server.stop()
    assert all(is_gone(pid) for pid in pids)


def test_a_stale_pid_file_whose_number_was_reused_stops_nothing(
    durable_postgres: PostgresServer,
) -> None:
    server = durable_postgres
    server.start()
    server.stop()
    (server.data / "postmaster.pid").write_text(f"{os.getpid()}\n{server.data}\n")
    assert server.pid is None
    server.start()
    assert server.pid not in (None, os.getpid())


def test_servers_run_in_a_session_of_their_own_away_from_ctrl_c(
    durable_postgres: PostgresServer, durable_valkey: ValkeyServer
) -> None:
    for server in (durable_postgres, durable_valkey):
        server.start()
        assert server.pid is not None
        assert os.getsid(server.pid) == server.pid


def test_starting_opens_no_existing_folder_to_anybody(
    data_folder: Path, durable_postgres: PostgresServer, durable_valkey: ValkeyServer
) -> None:
    data_folder.chmod(0o700)
    data_folder.parent.chmod(0o700)
    program = Path(sys.prefix) / "lib"
    watched = parents_of(data_folder / "x", program / "x", postgres.cluster_folder(data_folder))
    watched |= {folder for folder in (Path("/var/lib/contactship"),) if folder.exists()}
    before = {folder: stat.S_IMODE(folder.stat().st_mode) for folder in watched if folder.exists()}

    durable_postgres.start()
    durable_valkey.start()

    assert {folder: stat.S_IMODE(folder.stat().st_mode) for folder in before} == before


@pytest.mark.skipif(not is_root(), reason="an ordinary user runs PostgreSQL as themselves")
def test_as_root_postgresql_runs_as_somebody_else_outside_the_checkout(
    durable_postgres: PostgresServer,
) -> None:
    server = durable_postgres
    server.start()
    assert server.pid is not None
    assert psutil.Process(server.pid).uids().real != 0
    assert Path(sys.prefix) not in binaries().parents
    assert server.data.is_relative_to("/var/lib/contactship")
    assert stat.S_IMODE(server.data.stat().st_mode) == 0o700
    assert stat.S_IMODE(server.run.stat().st_mode) == 0o700


def test_a_socket_path_is_short_however_deep_the_checkout_lies(tmp_path: Path) -> None:
    deep = tmp_path / ("a" * 60) / ("b" * 60)
    deep.mkdir(parents=True)
    try:
        server = postgres.development_server(deep)
        assert len(str(server.run / ".s.PGSQL.5432").encode()) < 100
        server.start()
        server.stop()
    finally:
        postgres.remove(deep)


def test_files_with_a_password_are_for_their_owner_only(durable_valkey: ValkeyServer) -> None:
    server = durable_valkey
    server.start()
    for name in ("state.json", "valkey.conf"):
        assert stat.S_IMODE((server.folder / name).stat().st_mode) == 0o600


def test_valkey_takes_another_port_when_somebody_has_its_old_one(durable_valkey: ValkeyServer) -> None:
    server = durable_valkey
    server.start()
    server.stop()
    with socket.create_server(("127.0.0.1", server.port)) as squatter:
        server.start()
        assert server.port != squatter.getsockname()[1]
        with server.client() as client:
            assert client.ping()


def test_a_frozen_valkey_answers_nothing_until_it_thaws(valkey: ValkeyServer) -> None:
    valkey.freeze()
    with redis.Redis.from_url(valkey.url, socket_timeout=0.2, retry=None) as client:
        with pytest.raises(redis.TimeoutError):
            client.ping()
        valkey.thaw()
        poll(client.ping, timeout_s=5, what="an answer")


def test_a_test_server_comes_back_on_the_same_address(own_postgres: PostgresServer) -> None:
    address = own_postgres.admin_url
    own_postgres.stop()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(address)
    own_postgres.start()
    psycopg.connect(address).close()


def test_what_a_killed_process_guarded_ends_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    script = f"""
import os, signal, subprocess
from pathlib import Path
from contactship_devstack.guard import Guard
guard = Guard()
child = subprocess.Popen(["sleep", "600"], start_new_session=True)
guard.watch(child.pid)
guard.remove(Path({str(folder)!r}))
print(child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    owner = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    pid = int(owner.stdout)
    poll(lambda: is_gone(pid), timeout_s=10, what="its end")
    poll(lambda: not folder.exists(), timeout_s=10, what="the folder to go")


def test_a_guard_leaves_alone_what_it_was_told_to_forget() -> None:
    guard = Guard()
    child = subprocess.Popen(["sleep", "600"])
    try:
        guard.watch(child.pid)
        guard.forget(child.pid)
        guard.close()
        assert child.poll() is None
    finally:
        child.kill()
        child.wait()


def test_a_half_made_data_folder_is_never_taken_for_a_cluster(durable_postgres: PostgresServer) -> None:
    half = durable_postgres.data.with_name("data.new")
    half.mkdir(mode=0o700)
    (half / "PG_VERSION").write_text("18\n")
    durable_postgres.start()
    assert not half.exists()


def test_a_server_stops_even_before_it_is_ready(
    durable_postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(durable_postgres, "_wait_until_ready", interrupted)
    with pytest.raises(KeyboardInterrupt):
        durable_postgres.start()
    durable_postgres.stop()
    assert durable_postgres.pid is None
