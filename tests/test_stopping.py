"""SIGTERM while something that a process depends on is away: it goes in time all the same, and loses nothing."""

import time

import pytest
from system_testkit import SHORT_LEASE, SceneFactory
from vendors.openai_server import OpenAIServer

pytestmark = pytest.mark.system

GRACE_SECONDS = 2
NAMES = ("api", "scheduler", "ai_worker")


@pytest.mark.parametrize(
    "away",
    [pytest.param(what, marks=pytest.mark.chaos) for what in ("redis stopped", "redis frozen")] + ["postgres stopped"],
)
def test_every_process_stops_in_time_whatever_is_away(
    make_scene: SceneFactory, openai: OpenAIServer, away: str
) -> None:
    env = SHORT_LEASE | {"SHUTDOWN_GRACE": str(GRACE_SECONDS)}
    scene = make_scene(*NAMES, own_postgres=away.startswith("postgres"), env=env)
    valkey, postgres = scene.stack.valkey, scene.stack.postgres
    assert valkey
    openai.latency = 60.0
    leads = list(scene.insert_leads(10).values())
    for lead_id in leads:
        scene.summarize(lead_id)
    scene.until(lambda: openai.counts()["in_flight"] == len(leads), "the calls")
    openai.latency = 0.0
    if away == "redis stopped":
        valkey.kill()
    elif away == "redis frozen":
        valkey.freeze()
    else:
        assert postgres
        postgres.stop()
    took = {}
    for name in reversed(NAMES):
        started = time.monotonic()
        assert scene.stack.sigterm(name) == 0, name
        took[name] = round(time.monotonic() - started, 1)
    print(away, took)
    assert max(took.values()) < GRACE_SECONDS + 8
    valkey.thaw()
    valkey.start()
    if postgres:
        postgres.start()
        scene.reconnect()
    for name in NAMES:
        scene.stack.restart(name)
    scene.until_quiet()
    scene.assert_nothing_was_lost()
    scene.assert_summarised_once(leads)
