"""Many summaries at once, against a model that takes a second for each."""

import time

import psutil
import pytest
from system_testkit import Scene, SceneFactory, VendorProcess, calls_per_lead

from contactship_devstack.machine_speed import slowness

pytestmark = pytest.mark.system

_TIMES = """
SELECT extract(epoch FROM max(finished_at) - min(created_at))::float8 AS all_in_s,
       extract(epoch FROM min(claimed_at) - min(created_at))::float8 AS first_claim_s,
       extract(epoch FROM max(claimed_at) - min(created_at))::float8 AS last_claim_s,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - claimed_at))::float8 AS run_p50_s,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM finished_at - claimed_at))::float8 AS run_p95_s
  FROM tasks WHERE kind = 'lead.summary'
"""


def _cpu_ms(scene: Scene, name: str) -> float:
    spent = psutil.Process(scene.stack.process(name).pid).cpu_times()
    return float(spent.user + spent.system) * 1000


def _summarise_all(scene: Scene, vendor: VendorProcess, count: int, *, seconds: float) -> float:
    """Ask for all leads by a filter and wait; returns how long it took."""
    leads = scene.insert_leads(count)
    started = time.monotonic()
    accepted = scene.call("POST", "/leads/summarize", 202, json={"filter": {"withoutSummary": True}})
    scene.accepted.append(accepted["taskId"])
    path = f"/tasks/batches/{accepted['batchId']}"
    scene.until(lambda: scene.call("GET", path, 200)["status"] == "completed", "the batch", seconds=seconds)
    took = time.monotonic() - started
    told = scene.call("GET", path, 200)
    assert (told["total"], told["completed"], told["failed"], told["cancelled"]) == (count, count, 0, 0)
    scene.assert_nothing_was_lost()
    scene.assert_summarised_once(list(leads.values()))
    counts = vendor.counts()
    assert calls_per_lead(counts["by_subject"], list(leads)) == {1: count}, scene.story()
    assert counts["total"] == count, scene.story()
    assert scene.count("ai_calls WHERE outcome = 'success'") == count
    [row] = scene.sql(_TIMES)
    times = " ".join(f"{name}={value:.2f}" for name, value in row.items())
    cpu = " ".join(f"{name}={_cpu_ms(scene, name) / count:.1f}" for name in scene.stack.names)
    print(f"{count} leads: {took:.1f} s, {counts['peak']} calls at once at most; {times}; CPU ms a lead: {cpu}")
    return took


def test_three_hundred_leads_cost_three_hundred_calls(make_scene: SceneFactory, slow_vendor: VendorProcess) -> None:
    scene = make_scene("api", "scheduler", "ai_worker", env=slow_vendor.environment)
    _summarise_all(scene, slow_vendor, 300, seconds=40)
    # Asked again, nothing is paid again.
    scene.call("POST", "/leads/summarize", 202, json={"filter": {}})
    scene.until_quiet()
    assert slow_vendor.counts()["total"] == 300


@pytest.mark.chaos
def test_two_thousand_leads_take_less_than_25_seconds(make_scene: SceneFactory, slow_vendor: VendorProcess) -> None:
    scene = make_scene("api", "scheduler", "ai_worker", env=slow_vendor.environment)
    before = slowness()
    assert _summarise_all(scene, slow_vendor, 2_000, seconds=120) < 25 * max(before, slowness())


def test_a_batch_by_ids_says_what_was_not_found_and_what_was_fresh(
    make_scene: SceneFactory, slow_vendor: VendorProcess
) -> None:
    slow_vendor.script(latency=0.0)
    scene = make_scene("api", "scheduler", "ai_worker", env=slow_vendor.environment)
    leads = list(scene.insert_leads(40).values())
    scene.ended(scene.summarize(leads[0]))
    nobody = ["00000000-0000-7000-8000-000000000001", "00000000-0000-7000-8000-000000000002"]
    body = {"leadIds": [*leads, *leads[:5], *nobody]}
    accepted = scene.call("POST", "/leads/summarize", 202, json=body)
    assert (accepted["queued"], accepted["notFound"]) == (39, 2)
    path = f"/tasks/batches/{accepted['batchId']}"
    scene.until(lambda: scene.call("GET", path, 200)["status"] == "completed", "the batch")
    told = scene.call("GET", path, 200)
    assert (told["completed"], told["notFound"], told["processing"]) == (40, 2, 0)
    scene.assert_nothing_was_lost()
    scene.assert_summarised_once(leads)
    assert slow_vendor.counts()["total"] == 40
