"""The Helm chart: its names are real settings, and what it renders holds what operators rely on.

What needs `helm` is skipped where it is not installed; CONTACTSHIP_HELM names a program that is not on the PATH.
"""

import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from contactship_common.settings.manual import GROUPS, describe

CHECKOUT = Path(__file__).resolve().parents[3]
CHART = CHECKOUT / "deploy/helm/contactship"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SETTINGS = {setting.name: setting for _, group in GROUPS for setting in describe(group)}
PROCESSES = {
    "api": "contactship-api",
    "scheduler": "contactship-scheduler",
    "ai-worker": "contactship-ai-worker",
    "sync-worker": "contactship-sync-worker",
    "delivery-worker": "contactship-delivery-worker",
}
EVERYTHING = {
    "secret": {"external": {"enabled": True, "store": {"name": "vault"}}},
    "classification": "version: 1\n",
    "keda": {"enabled": True},
    "ingress": {"enabled": True},
    "metrics": {"serviceMonitor": True, "podMonitor": True, "token": True},
}
HELM = os.environ.get("CONTACTSHIP_HELM") or shutil.which("helm")
needs_helm = pytest.mark.skipif(HELM is None, reason="helm is not installed; CONTACTSHIP_HELM may name it")


def render(folder: Path, values: dict[str, Any]) -> list[dict[str, Any]]:
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    done = subprocess.run(
        [str(HELM), "template", "crm", str(CHART), "-f", str(file)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ValueError(done.stderr)
    return [document for document in yaml.safe_load_all(done.stdout) if document]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return render(tmp_path_factory.mktemp("chart"), EVERYTHING)


def of_kind(documents: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    return {document["metadata"]["name"]: document for document in documents if document["kind"] == kind}


def pods(documents: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Pod specs by component."""
    templates = [document["spec"]["template"] for document in documents if document["kind"] in ("Deployment", "Job")]
    return {template["metadata"]["labels"]["app.kubernetes.io/component"]: template["spec"] for template in templates}


def test_every_name_in_values_and_templates_is_a_setting() -> None:
    lists = [key for keys in VALUES["secretKeys"].values() for key in keys]
    text = "\n".join(path.read_text() for path in (CHART / "templates").iterdir())
    literal = re.findall(r"- \{name: ([A-Z][A-Z_]+),", text)
    commented = re.findall(r"^  # ([A-Z][A-Z_]+):", (CHART / "values.yaml").read_text(), re.MULTILINE)
    assert len(literal) >= 5
    assert len(commented) >= 3
    assert {*lists, *VALUES["settings"], *literal, *commented} <= SETTINGS.keys()


def test_secrets_are_secrets_and_none_is_a_plain_setting() -> None:
    lists = {key for keys in VALUES["secretKeys"].values() for key in keys}
    plain = {"SUPER_ADMIN_EMAIL", "TWILIO_ACCOUNT_SID", "SYNC_SOURCES"}  # belong to one, or may hold one
    assert {name for name in lists if not SETTINGS[name].secret} <= plain
    assert not [name for name in VALUES["settings"] if SETTINGS[name].secret]


def test_every_secret_setting_reaches_some_process() -> None:
    lists = {key for keys in VALUES["secretKeys"].values() for key in keys}
    # Parts of addresses that stand in DATABASE_URL, REDIS_URL and BROKER_URL here, and an older name.
    parts = {"POSTGRES_PASSWORD", "REDIS_PASSWORD", "BULLMQ_REDIS_PASSWORD", "AI_API_KEY"}
    assert {name for name, setting in SETTINGS.items() if setting.secret} - parts <= lists


def test_the_schema_describes_exactly_the_values() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())

    def compare(values: dict[str, Any], schema: dict[str, Any], at: str) -> None:
        if schema.get("additionalProperties") is not False:
            return
        assert values.keys() <= schema["properties"].keys(), at
        assert schema["properties"].keys() - {"global"} <= values.keys(), at
        for name, value in values.items():
            if isinstance(value, dict):
                compare(value, schema["properties"][name], f"{at}.{name}")

    compare(VALUES, schema, "values")


@needs_helm
def test_each_process_runs_its_console_script(rendered: list[dict[str, Any]]) -> None:
    scripts = {
        script
        for pyproject in CHECKOUT.glob("*/*/pyproject.toml")
        for script in tomllib.loads(pyproject.read_text())["project"].get("scripts", {})
    }
    commands = {name: pod["containers"][0]["command"] for name, pod in pods(rendered).items()}
    assert commands == {name: [command] for name, command in PROCESSES.items()} | {"migrate": ["contactship-migrate"]}
    assert {command for [command] in commands.values()} <= scripts


@needs_helm
def test_no_container_can_write_or_gain_rights(rendered: list[dict[str, Any]]) -> None:
    for name, pod in pods(rendered).items():
        [container] = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["automountServiceAccountToken"] is False, name
        assert container["securityContext"]["readOnlyRootFilesystem"] is True, name
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}, name
        assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"], name
        assert container["resources"]["requests"], name
        assert "memory" in container["resources"]["limits"], name


@needs_helm
def test_a_pod_may_take_longer_to_stop_than_it_gives_its_tasks(rendered: list[dict[str, Any]], tmp_path: Path) -> None:
    grace = float(SETTINGS["SHUTDOWN_GRACE"].default)
    for name in PROCESSES:
        assert pods(rendered)[name]["terminationGracePeriodSeconds"] >= grace + 10
    with pytest.raises(ValueError, match="SHUTDOWN_GRACE"):
        render(tmp_path, EVERYTHING | {"settings": {"SHUTDOWN_GRACE": 60}})


@needs_helm
def test_migrations_come_before_everything_and_need_nothing_of_the_release(rendered: list[dict[str, Any]]) -> None:
    job = of_kind(rendered, "Job")["crm-contactship-migrate"]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    pod = job["spec"]["template"]["spec"]
    assert "envFrom" not in pod["containers"][0]
    assert "serviceAccountName" not in pod
    secret = of_kind(rendered, "ExternalSecret")["crm-contactship"]
    weights = [int(hook["metadata"]["annotations"]["helm.sh/hook-weight"]) for hook in (secret, job)]
    assert weights == sorted(weights)
    assert secret["spec"]["target"]["creationPolicy"] == "Orphan", "or the Secret goes whenever the hook is replaced"


@needs_helm
def test_workers_scale_by_what_is_due_or_running(rendered: list[dict[str, Any]]) -> None:
    scaled = of_kind(rendered, "ScaledObject")
    deployments = of_kind(rendered, "Deployment")
    for queue in ("ai", "sync", "delivery"):
        name = f"crm-contactship-{queue}-worker"
        [trigger] = scaled[name]["spec"]["triggers"]
        assert f"queue = '{queue}'" in trigger["metadata"]["query"]
        assert "replicas" not in deployments[name]["spec"], "a deployment would undo what the autoscaler did"
    assert deployments["crm-contactship-scheduler"]["spec"]["replicas"] == 2


@needs_helm
def test_sockets_stay_with_their_pod(rendered: list[dict[str, Any]]) -> None:
    annotations = of_kind(rendered, "Ingress")["crm-contactship"]["metadata"]["annotations"]
    assert annotations["nginx.ingress.kubernetes.io/affinity"] == "cookie"
    assert int(annotations["nginx.ingress.kubernetes.io/proxy-read-timeout"]) >= 600


@needs_helm
def test_nothing_gets_in_or_out_unless_named(rendered: list[dict[str, Any]]) -> None:
    policies = of_kind(rendered, "NetworkPolicy")
    everybody = policies["crm-contactship"]["spec"]
    assert everybody["policyTypes"] == ["Ingress", "Egress"]
    assert set(everybody["podSelector"]["matchLabels"]) == {"app.kubernetes.io/name", "app.kubernetes.io/instance"}
    [rule] = policies["crm-contactship-internet"]["spec"]["egress"]
    assert "10.0.0.0/8" in rule["to"][0]["ipBlock"]["except"]


@needs_helm
@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "secret.existingSecret"),
        ({"secret": {"existingSecret": "a", "external": {"enabled": True, "store": {"name": "b"}}}}, "not both"),
        ({"secret": {"existingSecret": "a"}, "aiWorker": {"replica": 3}}, "replica"),
        ({"secret": {"existingSecret": "a"}, "settings": {"log-level": "INFO"}}, "log-level"),
    ],
)
def test_wrong_values_are_refused_by_name(tmp_path: Path, values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        render(tmp_path, values)
