"""docker-compose.yml and the Dockerfile, as far as they can be checked without Docker."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

CHECKOUT = Path(__file__).resolve().parents[3]
COMPOSE: dict[str, Any] = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ["migrate", "api", "scheduler", "ai_worker", "sync_worker", "delivery_worker"]
DATABASES = ["postgres", "redis"]


def scripts_of(service: str) -> set[str]:
    """Console scripts in the image of a service: its own and those of the common library."""
    folders = (CHECKOUT / "libs/common", CHECKOUT / "services" / service)
    return {
        name
        for folder in folders
        for name in tomllib.loads((folder / "pyproject.toml").read_text())["project"]["scripts"]
    }


def test_all_processes_and_databases_are_there() -> None:
    assert set(SERVICES) == {*OURS, *DATABASES}


@pytest.mark.parametrize("name", OURS)
def test_each_command_is_a_console_script_of_its_image(name: str) -> None:
    service = SERVICES[name]
    argument = service["build"]["args"]["SERVICE"]
    assert service["command"][0] in scripts_of(argument)
    assert (CHECKOUT / service["build"]["dockerfile"]).exists()


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_waits_for_exists_and_can_be_waited_for(name: str) -> None:
    for dependency, wait in SERVICES[name].get("depends_on", {}).items():
        if wait["condition"] == "service_healthy":
            assert SERVICES[dependency]["healthcheck"]["test"]
        else:
            assert wait["condition"] == "service_completed_successfully"
            assert SERVICES[dependency]["restart"] == "no", "it would never complete"


@pytest.mark.parametrize("name", [*DATABASES, *(name for name in OURS if name != "migrate")])
def test_everything_that_keeps_running_has_a_health_check(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"]


@pytest.mark.parametrize("name", DATABASES)
def test_databases_are_published_to_nobody_and_keep_their_data(name: str) -> None:
    assert "ports" not in SERVICES[name]
    assert SERVICES[name]["networks"] == ["data"]
    assert COMPOSE["networks"]["data"]["internal"] is True
    volume = SERVICES[name]["volumes"][0].split(":")[0]
    assert volume in COMPOSE["volumes"]


def test_redis_loses_and_evicts_nothing_and_wants_a_password() -> None:
    command = " ".join(SERVICES["redis"]["command"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command
    assert "--requirepass ${REDIS_PASSWORD:?" in command


@pytest.mark.parametrize("name", ["ai_worker", "sync_worker", "delivery_worker", "scheduler"])
def test_workers_can_be_scaled(name: str) -> None:
    assert not {"ports", "container_name"} & SERVICES[name].keys()


@pytest.mark.parametrize("name", OURS)
def test_our_containers_cannot_write_or_gain_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_every_secret_is_required_and_none_is_written_down() -> None:
    text = (CHECKOUT / "docker-compose.yml").read_text()
    secrets = re.findall(r"^ +(?:- |\w*(?:PASSWORD|SECRET|AUTH): )(\$\{.*)$", text, re.MULTILINE)
    assert len(secrets) >= 6
    assert all(re.fullmatch(r"\$\{\w+:\?.+\}", secret) for secret in secrets)
    assert not re.search(r"(PASSWORD|SECRET)\w*: [^$\"\s]", text)


def test_a_worker_may_take_longer_to_stop_than_it_gives_its_tasks() -> None:
    for name in ("ai_worker", "sync_worker", "delivery_worker"):
        assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) >= 30


def test_the_image_runs_as_nobody_and_takes_only_what_the_lock_pins() -> None:
    dockerfile = (CHECKOUT / "deploy/docker/Dockerfile").read_text()
    final = dockerfile.split("\nFROM ")[-1]
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", final, re.MULTILINE)
    assert "--require-hashes" in dockerfile
    assert "--no-sources --constraints requirements.lock" in dockerfile, "sources would install the library editable"
    assert "ARG SERVICE" in dockerfile
    assert "libs/devstack" not in dockerfile
