"""Workflows and compose file against the checkout, as far as that goes without GitHub and Docker."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from contactship_common.settings.manual import GROUPS, describe

CHECKOUT = Path(__file__).resolve().parents[3]
WORKFLOWS: dict[str, dict[str, Any]] = {
    path.stem: yaml.safe_load(path.read_text()) for path in (CHECKOUT / ".github/workflows").glob("*.yml")
}
TARGETS = set(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
NAMES = {name for _, group in GROUPS for setting in describe(group) for name in (setting.name, *setting.older)}
OF_COMPOSE = {"POSTGRES_PASSWORD", "REDIS_PASSWORD"}


def text(name: str) -> str:
    return (CHECKOUT / f".github/workflows/{name}.yml").read_text()


def test_workflows_call_targets_that_exist() -> None:
    parts = WORKFLOWS["ci"]["jobs"]["test"]["strategy"]["matrix"]
    called = set(re.findall(r"run: make ([a-z-]+)", text("ci"))) | set(parts["part"])
    assert {row["part"] for row in parts["include"]} <= set(parts["part"])
    assert called <= TARGETS
    assert {target for target in TARGETS if target.startswith("test-")} == set(parts["part"])


@pytest.mark.parametrize("name", ["ci", "deploy"])
def test_workflows_may_only_read_unless_a_job_says_more(name: str) -> None:
    assert WORKFLOWS[name]["permissions"] == {"contents": "read"}
    assert WORKFLOWS[name]["concurrency"]
    for job in WORKFLOWS[name]["jobs"].values():
        assert job["timeout-minutes"] <= 60
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout"):
                assert step["with"]["persist-credentials"] is False


def test_an_image_is_built_for_every_service_and_nobody_deploys_without_approval() -> None:
    jobs = WORKFLOWS["deploy"]["jobs"]
    services = {path.parent.name for path in CHECKOUT.glob("services/*/pyproject.toml")}
    assert set(jobs["images"]["strategy"]["matrix"]["service"]) == services
    assert jobs["upgrade"]["environment"]
    assert "secrets: inherit" not in text("deploy")
    # No expression inside a script: what people type must not become code.
    assert not [step for job in jobs.values() for step in job["steps"] if "${{" in step.get("run", "")]


def test_the_compose_file_names_real_settings() -> None:
    compose = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())
    assert compose["x-settings"].keys() <= NAMES
    for service in compose["services"].values():
        if "build" in service:
            assert service["environment"].keys() <= NAMES


def test_the_classification_file_is_where_the_setting_says() -> None:
    compose = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())
    for name in ("api", "ai_worker"):
        service = compose["services"][name]
        [mount] = service["volumes"]
        inside = mount.rsplit(":", 2)[1]
        assert service["environment"]["CLASSIFICATION_FILE"] == "${CLASSIFICATION_FILE:+" + inside + "}"
        assert mount.endswith(":ro")


def test_logs_do_not_fill_the_disk() -> None:
    compose = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())
    for service in compose["services"].values():
        if "build" in service:
            assert service["logging"]["options"]["max-size"]
