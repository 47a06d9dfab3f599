"""The API killed in the middle of a request, PostgreSQL restarted under load: what was promised is done."""

import threading
import time

import httpx
import pytest
from system_testkit import Load, SceneFactory
from vendors.openai_server import OpenAIServer

pytestmark = pytest.mark.system


def test_a_request_whose_process_died_right_after_the_commit_is_done_all_the_same(
    make_scene: SceneFactory, openai: OpenAIServer
) -> None:
    scene = make_scene("api", "scheduler", "ai_worker")
    assert scene.stack.valkey
    lead_id, name = scene.make_lead()
    # Without Redis nobody can be rung, so all there is of the request is its row.
    scene.stack.valkey.kill()
    url, headers = f"{scene.stack.api_url}/api/v1/leads/{lead_id}/summarize", {"x-api-key": scene.stack.api_key}

    def ask() -> None:
        try:
            httpx.post(url, headers=headers, timeout=10)
        except httpx.TransportError:
            return

    client = threading.Thread(target=ask)
    client.start()
    scene.until(lambda: scene.count("tasks"), "the row")
    scene.stack.kill9("api")
    client.join()
    scene.stack.valkey.start()
    scene.until_quiet()
    scene.assert_nothing_was_lost()
    scene.assert_summarised_once([lead_id])
    assert openai.calls_about(name) == 1


def test_what_an_api_promised_before_it_was_killed_is_done(make_scene: SceneFactory, openai: OpenAIServer) -> None:
    scene = make_scene("api", "scheduler", "ai_worker")
    leads = list(scene.insert_leads(5_000).values())
    with Load(scene, leads) as load:
        for _ in range(2):
            load.until_accepted(30)
            scene.stack.kill9("api")
            scene.stack.restart("api")
        load.until_accepted(30)
    scene.until_quiet()
    print(load.statuses)
    scene.assert_nothing_was_lost()
    # More may have been done than was promised: an answer that never arrived promises nothing.
    done = [str(row["id"]) for row in scene.sql("SELECT id FROM leads WHERE summary IS NOT NULL")]
    assert set(load.accepted) <= set(done)
    scene.assert_summarised_once(done)
    assert openai.total == len(done)
    assert set(load.statuses) <= {202, None}


@pytest.mark.parametrize("crash", [False, pytest.param(True, marks=pytest.mark.chaos)], ids=["restarted", "crashed"])
def test_a_database_that_goes_away_under_load_costs_time_and_nothing_else(
    make_scene: SceneFactory, openai: OpenAIServer, crash: bool
) -> None:
    scene = make_scene("api", "scheduler", "ai_worker", own_postgres=True)
    assert scene.stack.postgres
    # The test server does not wait for the disk at a commit, which a crash would show.
    scene.sql("ALTER DATABASE contactship SET synchronous_commit = on")
    scene.stack.restart("api")
    scene.stack.restart("ai_worker")
    openai.latency = 0.3
    leads = list(scene.insert_leads(5_000).values())
    with Load(scene, leads) as load:
        load.until_accepted(50)
        scene.stack.postgres.restart(crash=crash)
        back = time.monotonic()
        load.until_accepted(30)
        print(f"accepting again {time.monotonic() - back:.1f} s after the database was back")
    scene.reconnect()
    scene.until_quiet(60)
    print(load.statuses, f"slowest {load.slowest_s:.2f} s; quiet after {time.monotonic() - back:.1f} s")
    assert set(load.statuses) <= {202, 503, None}
    scene.assert_nothing_was_lost()
    done = [str(row["id"]) for row in scene.sql("SELECT id FROM leads WHERE summary IS NOT NULL")]
    assert set(load.accepted) <= set(done)
    scene.assert_summarised_once(done)
    # What a model answered while the database was away is kept and stored, not paid for again: the lease is longer
    # than any restart.
    print(f"{openai.total} calls for {len(done)} summaries")
    assert openai.total == len(done)
