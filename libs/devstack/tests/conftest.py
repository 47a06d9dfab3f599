"""Fixtures of the devstack's tests. Helpers are in `devstack_testkit`, beside this file."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from devstack_testkit import Machine  # needs the path above

from contactship_devstack import postgres, valkey


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    machine.clean_up()


@pytest.fixture
def data_folder(tmp_path: Path) -> Iterator[Path]:
    """A data folder whose servers' data are deleted afterwards, wherever they lie."""
    folder = tmp_path / "data"
    folder.mkdir()
    yield folder
    postgres.remove(folder)


@pytest.fixture
def durable_postgres(data_folder: Path) -> Iterator[postgres.PostgresServer]:
    """PostgreSQL as `make run` starts it; not started yet."""
    server = postgres.development_server(data_folder)
    yield server
    server.stop()


@pytest.fixture
def durable_valkey(data_folder: Path) -> Iterator[valkey.ValkeyServer]:
    """Valkey as `make run` starts it; not started yet."""
    server = valkey.development_server(data_folder)
    yield server
    server.stop()
