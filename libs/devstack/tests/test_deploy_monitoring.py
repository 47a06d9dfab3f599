"""Dashboard and alerts ask for metrics that exist, with labels they have, and every alert has its runbook."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Counter, Gauge, Histogram

from contactship_common import metrics
from contactship_common.tasks.catalog import KINDS

CHECKOUT = Path(__file__).resolve().parents[3]
ALERTS_FILE = CHECKOUT / "deploy/prometheus/alerts.yaml"
ALERTS: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(ALERTS_FILE.read_text())["groups"] for rule in group["rules"]
]
DASHBOARD: dict[str, Any] = json.loads((CHECKOUT / "deploy/grafana/contactship.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [rule["expr"] for rule in ALERTS] + [
    target["expr"] for panel in PANELS for target in panel["targets"]
]  # fmt: skip
TARGETS_OWN = {"pod", "namespace", "le"}
PROMTOOL = os.environ.get("CONTACTSHIP_PROMTOOL") or shutil.which("promtool")


def exported() -> dict[str, set[str]]:
    """Names of samples, as Prometheus stores them, with their labels."""
    found: dict[str, set[str]] = {}
    for metric in vars(metrics).values():
        if isinstance(metric, Counter | Gauge | Histogram):
            [family] = metric.describe()
            suffixes = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_count", "_sum"]}[family.type]
            found |= {family.name + suffix: set(metric._labelnames) for suffix in suffixes}
    return found


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_metric_and_label_is_exported(expression: str) -> None:
    known = exported()
    names = re.findall(r"contactship_\w+", expression)
    assert names
    assert set(names) <= known.keys()
    labels: set[str] = set().union(*(known[name] for name in names), TARGETS_OWN)
    asked = re.findall(r'(\w+)(?:=~|!~|!=|=)"', expression)
    for grouped in re.findall(r"by \(([^)]*)\)", expression):
        asked += re.split(r",\s*", grouped)
    assert set(asked) <= labels


def test_every_metric_is_shown_somewhere() -> None:
    shown = " ".join(EXPRESSIONS)
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in exported()}
    assert {name for name in families if name not in shown} == set()


def test_the_kinds_of_tasks_that_alerts_name_exist() -> None:
    kinds = set(re.findall(r'kind="([^"]+)"', " ".join(EXPRESSIONS)))
    assert kinds <= KINDS.keys()


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_every_alert_leads_to_its_runbook(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"page", "ticket"}
    page, anchor = rule["annotations"]["runbook_url"].split("#")
    headings = re.findall(r"^#+ (.+)$", (CHECKOUT / page).read_text(), re.MULTILINE)
    assert anchor in {re.sub(r"[^\w-]", "", heading.lower().replace(" ", "-")) for heading in headings}
    assert rule["alert"].removeprefix("Contactship").lower() == anchor


def test_panels_have_numbers_of_their_own_and_do_not_overlap() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    cells = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed; CONTACTSHIP_PROMTOOL may name it")
def test_prometheus_takes_the_alerts() -> None:
    checked = subprocess.run(
        [str(PROMTOOL), "check", "rules", str(ALERTS_FILE)], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
    assert f"{len(ALERTS)} rules found" in checked.stdout
