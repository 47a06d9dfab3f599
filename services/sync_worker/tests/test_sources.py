"""The built-in adapters against a real HTTP server that makes every trouble a source can make."""

import time
from typing import Any

import pytest
from sync_testkit import open_source
from vendors.people import feed, person
from vendors.randomuser_server import RandomUserServer

from contactship_common.tasks.outcomes import Permanent, RetryLater
from contactship_sync_worker.sources.base import pick


class Naps:
    """How the client waited, instead of waiting."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


async def refusal(url: str, **settings: Any) -> Permanent:
    """What an adapter says that cannot fetch."""
    async with open_source(randomuser_url=url, **settings) as source:
        with pytest.raises(Permanent) as caught:
            await source.fetch(None, 10)
    return caught.value


async def test_randomuser_asks_for_as_many_as_wanted_and_maps_every_field(vendor: RandomUserServer) -> None:
    async with open_source(randomuser_url=f"{vendor.url}/api/?seed=x") as source:
        page = await source.fetch(None, 3)
    assert vendor.queries == ["seed=x&results=3"]
    assert page.next_cursor is None
    assert len(page.records) == 3
    found, told = page.records[1], person(1)
    assert (found.first_name, found.last_name) == (told["name"]["first"], told["name"]["last"])
    assert found.street == "2 Calle de Alcalá"
    assert found.external_id == told["login"]["uuid"]
    assert found.metadata == {"location": "A Coruña, Spain", "profession": "ES"}
    assert found.picture_url == told["picture"]["medium"]
    assert [record.postcode for record in page.records] == [2000, "S1XYZ", 2002]


@pytest.mark.parametrize(
    ("path", "code", "tries"),
    [
        ("error", "source_error", 1),
        ("html", "source_not_json", 1),
        ("shape", "source_wrong_shape", 1),
        ("teapot", "source_refused", 1),
        ("redirect", "source_redirected", 1),
        ("zip", "source_compressed", 1),
        ("huge", "source_answer_too_long", 1),
        ("endless", "source_answer_too_long", 1),
        ("500", "source_unavailable", 3),
        ("cut", "source_unreachable", 3),
    ],
)
async def test_a_bad_answer_is_one_clear_reason(vendor: RandomUserServer, path: str, code: str, tries: int) -> None:
    error = await refusal(f"{vendor.url}/{path}/", sync_max_body_bytes=100_000)
    assert error.code == code
    assert vendor.url not in error.message
    assert vendor.calls[f"/{path}/"] == tries


@pytest.mark.parametrize("path", ["hang", "trickle"])
async def test_an_answer_that_never_ends_is_given_up_in_time(vendor: RandomUserServer, path: str) -> None:
    started = time.monotonic()
    error = await refusal(f"{vendor.url}/{path}/", sync_timeout=0.2)
    assert error.code == "source_timeout"
    assert vendor.calls[f"/{path}/"] == 3
    assert time.monotonic() - started < 5


async def test_nobody_listening_is_a_clear_reason() -> None:
    assert (await refusal("http://127.0.0.1:9/api/")).code == "source_unreachable"


async def test_an_address_that_is_none_is_a_clear_reason() -> None:
    assert (await refusal("not an address")).code in {"source_unreachable", "source_broken"}


async def test_transient_failures_are_tried_again_with_growing_pauses(vendor: RandomUserServer) -> None:
    naps = Naps()
    url = f"{vendor.url}/flaky/?fails=2"
    async with open_source(randomuser_url=url, sleep=naps, sync_retry_wait=2.0) as source:
        assert len((await source.fetch(None, 5)).records) == 5
    first, second = naps.seconds
    assert 2.0 <= first <= 3.0
    assert 4.0 <= second <= 5.0


async def test_a_short_retry_after_is_waited_for(vendor: RandomUserServer) -> None:
    naps = Naps()
    async with open_source(randomuser_url=f"{vendor.url}/limited/?fails=1&after=7", sleep=naps) as source:
        assert len((await source.fetch(None, 5)).records) == 5
    assert naps.seconds == [7.0]


async def test_a_long_retry_after_gives_the_task_back(vendor: RandomUserServer) -> None:
    async with open_source(randomuser_url=f"{vendor.url}/limited/?fails=1&after=60") as source:
        with pytest.raises(RetryLater) as caught:
            await source.fetch(None, 5)
    assert caught.value.delay_seconds == 60


@pytest.mark.parametrize("style", ["pages", "cursor"])
async def test_a_feed_is_followed_to_its_end(vendor: RandomUserServer, style: str) -> None:
    setting = feed(vendor.url, style, total=23)
    found, cursor, pages = [], None, 0
    async with open_source(name="crm", sync_sources={"crm": setting}) as source:
        while True:
            page = await source.fetch(cursor, 10)
            found += page.records
            pages += 1
            if (cursor := page.next_cursor) is None:
                break
    assert [record.external_id for record in found] == [f"crm:{n}" for n in range(23)]
    assert found[4].email == "Person4@Example.Com"
    assert found[4].metadata == {"profession": "Arquitecta"}
    assert pages == (4 if style == "pages" else 3)


async def test_a_feed_that_goes_in_circles_ends_with_a_reason(vendor: RandomUserServer) -> None:
    setting = feed(vendor.url, "pages", total=1) | {"url": f"{vendor.url}/feed/circle"}
    async with open_source(name="crm", sync_sources={"crm": setting}) as source:
        first = await source.fetch(None, 10)
        with pytest.raises(Permanent) as caught:
            await source.fetch(first.next_cursor, 10)
    assert caught.value.code == "source_goes_in_circles"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"type": "nothing_like_it"}, "crm: there is no type"),
        ({"type": "base"}, "crm: there is no type"),
        ({"url": "file:///etc/passwd"}, "crm: must be an http or https address"),
        ({"fields": {"email": "e"}}, "crm: `fields` must say"),
        ({"fields": {"e_mail": "e"}}, "crm: "),
        ({"paging": {"style": "cursor"}}, "crm: paging by cursor needs `next`"),
        ({"no_such_option": 1}, "crm: Extra inputs are not permitted"),
    ],
)
async def test_wrong_settings_of_a_source_are_named(wrong: dict[str, Any], told: str) -> None:
    setting = feed("http://127.0.0.1", "pages", total=1) | wrong
    with pytest.raises(ValueError, match="SYNC_SOURCES") as caught:
        async with open_source(name="crm", sync_sources={"crm": setting}):
            pass
    assert told in str(caught.value)


def test_paths_lead_to_values_or_nowhere() -> None:
    record = {"a": {"b": [{"c": 1}, 2]}}
    assert pick(record, "a.b.0.c") == 1
    assert pick(record, "") is record
    for nowhere in ("a.x", "a.b.7", "a.b.c", "a.b.0.c.d", "a.b.-1"):
        assert pick(record, nowhere) is None
