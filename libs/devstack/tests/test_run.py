"""`make run`, as seen by the person who types it. The five processes are stand-ins; everything else is real."""

import json
import os
import re
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import psycopg
import pytest
from devstack_testkit import Command, Machine

from contactship_devstack.environment import load_dotenv
from contactship_devstack.polling import free_port, poll

READY = "Contactship is ready."


class Stack(NamedTuple):
    machine: Machine
    command: Command


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One that runs, for tests after which it goes on running."""
    machine = Machine(tmp_path_factory.mktemp("checkout"))
    try:
        command = machine.start("run")
        command.until(READY)
        yield Stack(machine, command)
        assert command.end() == 0
    finally:
        machine.clean_up()


def running(machine: Machine) -> dict[str, str]:
    return json.loads((machine.data / "running.json").read_text())


def test_it_starts_says_how_to_use_it_and_ctrl_c_ends_all_of_it(machine: Machine) -> None:
    command = machine.start("run")
    command.until(READY)
    family = psutil.Process(command.child.pid).children(recursive=True)
    said = command.output

    assert said.count(READY) == 1
    assert f"http://127.0.0.1:{machine.port}/api/docs" in said
    assert "admin@contactship.com / admin123" in said
    assert str(machine.data) in said
    for worker in ("scheduler", "ai_worker", "sync_worker", "delivery_worker"):
        assert re.search(rf"^ +{worker} +http://127.0.0.1:\d+/health/readiness$", said, re.MULTILINE)
    assert len(re.findall(r"^(?:ID=\$\(|TASK=\$\()?curl ", said, re.MULTILINE)) == 3
    assert "\x1b[" not in said, "colour in a file"

    assert command.end(signal.SIGINT) == 0, command.output
    assert "Traceback" not in command.output
    assert not [process for process in family if process.is_running()]
    code, said = machine.run("tasks")
    assert code == 1
    assert "nothing runs on this data folder" in said


def test_a_second_start_finds_the_data_the_secrets_and_the_address(machine: Machine) -> None:
    first = machine.start("run")
    first.until(READY)
    with psycopg.connect(running(machine)["database_url"]) as connection:
        connection.execute("CREATE TABLE mine ()")
    key = re.search(r"x-api-key: (\S+)'", first.output)
    assert first.end(signal.SIGTERM) == 0

    second = machine.start("run")
    second.until(READY)
    with psycopg.connect(running(machine)["database_url"]) as connection:
        assert connection.execute("SELECT to_regclass('mine') IS NOT NULL").fetchone() == (True,)
    assert key
    assert key[0] in second.output
    assert second.end() == 0


def test_a_killed_supervisor_leaves_no_process_and_the_next_one_reuses_the_servers(machine: Machine) -> None:
    first = machine.start("run")
    first.until(READY)
    database = running(machine)["database_url"]
    with psycopg.connect(database) as connection:
        before = connection.execute("SELECT pg_postmaster_start_time()").fetchone()
    first.child.kill()
    first.child.wait()

    second = machine.start("run")  # the port is free again once the processes of the first are gone
    second.until(READY)
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT pg_postmaster_start_time()").fetchone() == before
    assert second.end() == 0


def test_two_checkouts_run_side_by_side(stack: Stack, machine: Machine) -> None:
    command = machine.start("run")
    command.until(READY)
    assert running(machine)["database_url"] != running(stack.machine)["database_url"]
    assert command.end() == 0
    assert stack.command.child.poll() is None


def test_an_occupied_port_is_one_clear_line(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", machine.port)):
        code, said = machine.run("run")
    assert code == 1
    assert f"cannot listen on port {machine.port} (address already in use)" in said.splitlines()[-1]
    assert f"PORT={machine.port + 1} make run" in said


def test_a_dead_database_is_one_clear_line_without_the_password(machine: Machine) -> None:
    code, said = machine.run("run", env={"DATABASE_URL": f"postgresql://me:hidden@127.0.0.1:{free_port()}/x"})
    assert code == 1
    assert "cannot reach the database at postgresql://me:***@127.0.0.1:" in said.splitlines()[-1]
    assert "hidden" not in said
    assert "Traceback" not in said


def test_an_unreachable_redis_is_one_clear_line(machine: Machine, empty_database_url: str) -> None:
    code, said = machine.run(
        "run", env={"DATABASE_URL": empty_database_url, "REDIS_HOST": "127.0.0.1", "REDIS_PORT": "1"}
    )
    assert code == 1
    assert "cannot reach Redis at redis://127.0.0.1:1" in said.splitlines()[-1]
    assert "Traceback" not in said


def test_a_data_folder_that_cannot_be_made_is_one_clear_line(machine: Machine) -> None:
    (machine.folder / "file").touch()
    code, said = machine.run("run", env={"CONTACTSHIP_DATA_DIR": str(machine.folder / "file" / "data")})
    assert code == 1
    assert "cannot write to the data folder" in said.splitlines()[-1]
    assert "Traceback" not in said


def test_a_second_run_in_the_same_checkout_is_one_clear_line(stack: Stack) -> None:
    machine, first = stack
    code, said = machine.run("run", env={"PORT": str(free_port())})
    assert code == 1
    assert f"already runs on {machine.data} (process {first.child.pid})" in said.splitlines()[-1]
    assert "Traceback" not in said
    assert first.child.poll() is None


def test_what_other_commands_need_is_written_where_only_the_owner_reads_it(stack: Stack) -> None:
    machine, _ = stack
    for name in ("running.json", "secrets.json"):
        assert stat.S_IMODE((machine.data / name).stat().st_mode) == 0o600
    assert set(running(machine)["health_urls"]) == {"scheduler", "ai_worker", "sync_worker", "delivery_worker"}

    code, said = machine.run("tasks")
    assert (code, said) == (0, "Nothing waits, nothing runs, nothing failed.")
    code, said = machine.run("psql", "-Atc", "SELECT 40 + 2")
    assert (code, said) == (0, "42")


def test_a_process_that_dies_is_reported_and_started_again(stack: Stack) -> None:
    _, command = stack
    victim = next(
        process
        for process in psutil.Process(command.child.pid).children()
        if any("contactship-ai-worker" in part for part in process.cmdline())
    )
    victim.kill()
    command.until("ai_worker ended with SIGKILL; starting it again in 0.1 s")
    poll(lambda: command.output.count("ai_worker       | serving") == 2, timeout_s=20, what="a second start")


def test_a_server_of_the_stack_that_somebody_kills_comes_back(stack: Stack) -> None:
    machine, command = stack
    state = json.loads((machine.data / "valkey" / "state.json").read_text())
    os.kill(state["pid"], signal.SIGKILL)
    command.until("Valkey had ended and was started again")


def test_configured_servers_are_used_and_nothing_is_embedded_and_colour_comes_when_asked_for(
    machine: Machine, empty_database_url: str, redis_url: str
) -> None:
    command = machine.start("run", env={"DATABASE_URL": empty_database_url, "REDIS_URL": redis_url, "FORCE_COLOR": "1"})
    command.until(READY)
    assert not (machine.data / "valkey").exists()
    assert not (machine.data / "postgres").exists()
    with psycopg.connect(empty_database_url) as connection:
        assert connection.execute("SELECT to_regclass('tasks') IS NOT NULL").fetchone() == (True,)
    assert "\x1b[32mapi" in command.output
    assert command.end() == 0


def test_a_crash_loop_ends_the_stack_with_one_clear_line(
    machine: Machine, empty_database_url: str, redis_url: str
) -> None:
    environment = {"DATABASE_URL": empty_database_url, "REDIS_URL": redis_url, "DIE": "contactship-scheduler"}
    code, said = machine.run("run", env=environment)
    assert code == 1
    assert "scheduler       | cannot go on" in said
    assert "scheduler ended with exit code 3, 5 times within 60 s: giving up" in said.splitlines()[-1]
    assert "Traceback" not in said


def test_dotenv_is_read_and_the_environment_wins(machine: Machine, empty_database_url: str, redis_url: str) -> None:
    (machine.folder / ".env").write_text(
        f"# local settings\nDATABASE_URL={empty_database_url}\nREDIS_URL='{redis_url}'\n"
        'export EXTRA="from dotenv"\nPORT=1\n'
    )
    command = machine.start("run")
    command.until(READY)
    assert "serving with postgresql from dotenv" in command.output
    assert f"http://127.0.0.1:{machine.port}" in command.output
    assert command.end() == 0


def test_dotenv_values_do_not_replace_what_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SET_BEFORE", "EMPTY_BEFORE", "NEW_HERE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("SET_BEFORE", "environment")
    monkeypatch.setenv("EMPTY_BEFORE", "")
    file = tmp_path / ".env"
    file.write_text("SET_BEFORE=file\nEMPTY_BEFORE=file\nNEW_HERE='a b#c'\nNOTHING\n")
    load_dotenv(file)
    assert [os.environ[name] for name in ("SET_BEFORE", "EMPTY_BEFORE", "NEW_HERE")] == ["environment", "", "a b#c"]
    load_dotenv(tmp_path / "missing")


def test_ctrl_c_during_the_start_ends_cleanly_too(machine: Machine) -> None:
    command = machine.start("run")
    command.until("data folder")
    assert command.end(signal.SIGINT) == 0, command.output
    assert "Traceback" not in command.output
