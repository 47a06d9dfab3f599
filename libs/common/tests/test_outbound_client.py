"""One attempt to reach a receiver, over real connections; only the name server is played."""

import asyncio
import ipaddress
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from vendors.webhook_receiver import Reply, WebhookReceiver

from contactship_common.outbound.addresses import Address, parse_networks
from contactship_common.outbound.client import OutboundClient

LOOPBACK = parse_networks("127.0.0.0/8")
MakeClient = Callable[..., OutboundClient]
HOST = "receiver.example"


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with WebhookReceiver() as server:
        yield server


@pytest.fixture
async def make_client() -> AsyncIterator[MakeClient]:
    async with AsyncExitStack() as stack:

        def make(**options: Any) -> OutboundClient:
            client = OutboundClient(**({"allow": LOOPBACK} | options))
            stack.push_async_callback(client.aclose)
            return client

        yield make


class Names:
    """A name server: each look-up gives the next answer, the last one for ever."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[Address]:
        self.asked.append(host)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [ipaddress.ip_address(one) for one in answer.split()]


def post(client: OutboundClient, url: str) -> Awaitable[Any]:
    return client.post(url, b'{"a":1}', {"webhook-id": "msg_1"})


async def test_the_body_arrives_as_it_is_under_the_name_that_was_asked_for(
    receiver: WebhookReceiver, make_client: MakeClient
) -> None:
    names = Names("127.0.0.1")
    answer = await post(make_client(resolver=names), receiver.url("/hook?token=1", host=HOST))
    assert (answer.status, answer.error) == (204, None)
    [request] = receiver.received
    assert (request.method, request.path, request.body) == ("POST", "/hook?token=1", b'{"a":1}')
    assert request.headers["host"] == f"{HOST}:{receiver.port}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == "msg_1"
    assert "cookie" not in request.headers


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254", "fd00::1", "64:ff9b::7f00:1"]
)
async def test_a_name_that_leads_inside_is_not_connected_to(
    receiver: WebhookReceiver, make_client: MakeClient, address: str
) -> None:
    answer = await post(make_client(allow=(), resolver=Names(address)), receiver.url(host=HOST))
    assert (answer.status, answer.error) == (None, "address_not_allowed")
    assert receiver.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "[::ffff:127.0.0.1]", "2130706433", "127.1", "0x7f.1", "localhost"])
async def test_nothing_that_the_system_takes_for_this_machine_is_connected_to(
    receiver: WebhookReceiver, make_client: MakeClient, host: str
) -> None:
    answer = await post(make_client(allow=()), receiver.url(host=host))
    assert answer.error in {"address_not_allowed", "name_not_resolved"}
    assert receiver.connections == 0


async def test_the_address_that_was_judged_is_the_one_connected_to(
    receiver: WebhookReceiver, make_client: MakeClient
) -> None:
    """Rebinding: what the name server would say a moment later is never asked for."""
    names = Names("127.0.0.1", "127.0.0.2")
    with WebhookReceiver(host="127.0.0.2") as other:
        client = make_client(allow=parse_networks("127.0.0.1"), resolver=names)
        first = await post(client, receiver.url(host=HOST))
        assert (first.error, names.asked) == (None, [HOST])
        second = await post(client, f"http://{HOST}:{other.port}/")
        assert (second.error, names.asked) == ("address_not_allowed", [HOST, HOST])
        assert other.connections == 0


async def test_only_the_allowed_ones_of_several_addresses_are_tried(
    receiver: WebhookReceiver, make_client: MakeClient
) -> None:
    answer = await post(
        make_client(resolver=Names("169.254.169.254 fd00::1 127.0.0.9 127.0.0.1")), receiver.url(host=HOST)
    )
    assert answer.error is None
    assert len(receiver.received) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_a_failure_and_not_followed(
    receiver: WebhookReceiver, make_client: MakeClient, status: int
) -> None:
    with WebhookReceiver(host="127.0.0.2") as inside:
        receiver.script(Reply(status, {"Location": inside.url("/metadata")}))
        answer = await post(make_client(), receiver.url())
        assert (answer.status, answer.error) == (status, "redirected")
        assert inside.connections == 0
        assert len(receiver.received) == 1


@pytest.mark.parametrize(("status", "error"), [(400, "refused"), (410, "gone"), (429, "refused"), (500, "refused")])
async def test_every_other_status_has_its_code(
    receiver: WebhookReceiver, make_client: MakeClient, status: int, error: str
) -> None:
    receiver.script(Reply(status, {"Retry-After": "7"}))
    answer = await post(make_client(), receiver.url())
    assert (answer.status, answer.error, answer.retry_after_seconds) == (status, error, 7.0)


@pytest.mark.parametrize(
    ("text", "about"),
    [
        ("120", 120.0),
        ("-1", None),
        ("soon", None),
        ("9" * 5_000, 9_999_999_999.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
    ],
)
async def test_what_a_receiver_says_about_coming_back_is_read_with_suspicion(
    receiver: WebhookReceiver, make_client: MakeClient, text: str, about: float | None
) -> None:
    receiver.script(Reply(503, {"Retry-After": text}))
    assert (await post(make_client(), receiver.url())).retry_after_seconds == about


async def test_a_receiver_that_does_not_answer_costs_the_time_limit_and_no_more(
    receiver: WebhookReceiver, make_client: MakeClient
) -> None:
    receiver.script(Reply(wait_seconds=30))
    started = time.monotonic()
    answer = await post(make_client(timeout_seconds=0.3), receiver.url())
    assert (answer.status, answer.error) == (None, "timeout")
    assert 300 <= answer.ms < 1_500
    assert time.monotonic() - started < 1.5


async def test_a_name_server_that_does_not_answer_costs_the_time_limit_and_no_more(make_client: MakeClient) -> None:
    async def never(host: str, port: int) -> list[Address]:
        await asyncio.Event().wait()
        return []

    answer = await post(make_client(timeout_seconds=0.2, resolver=never), f"http://{HOST}/")
    assert answer.error == "timeout"


async def test_an_endless_body_is_cut_off_and_the_status_counts(
    receiver: WebhookReceiver, make_client: MakeClient
) -> None:
    receiver.script(Reply(200, endless=True))
    answer = await post(make_client(), receiver.url())
    assert (answer.status, answer.error) == (200, None)
    assert answer.ms < 2_000


async def test_a_body_that_drips_for_ever_is_cut_off_and_the_status_counts(
    receiver: WebhookReceiver, make_client: MakeClient
) -> None:
    receiver.script(Reply(200, drip_seconds=0.05))
    answer = await post(make_client(), receiver.url())
    assert (answer.status, answer.error) == (200, None)
    assert answer.ms < 3_000


async def test_a_connection_that_ends_or_never_begins_is_told_apart(
    receiver: WebhookReceiver, make_client: MakeClient
) -> None:
    client = make_client()
    receiver.script(Reply(cut=True))
    assert (await post(client, receiver.url())).error == "connection_lost"
    nobody = WebhookReceiver()
    nobody.start()
    nobody.stop()
    assert (await post(client, nobody.url())).error == "connection_failed"
    assert (await post(client, "http://no-such-host.invalid/")).error == "name_not_resolved"
    assert (await post(client, "https://" + receiver.url().removeprefix("http://"))).error == "tls_failed"


async def test_proxies_of_the_environment_are_not_used(
    receiver: WebhookReceiver, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with WebhookReceiver() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url(""))
        assert (await post(make_client(), receiver.url())).error is None
        assert proxy.connections == 0


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for `receiver.example`, signed by itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    made, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    told = ["-keyout", str(key), "-out", str(made), "-days", "2", "-subj", f"/CN={HOST}"]
    subprocess.run([*command, *told, "-addext", f"subjectAltName=DNS:{HOST}"], check=True, capture_output=True)
    return made, key


@pytest.mark.parametrize(
    ("host", "error"), [(HOST, None), ("other.example", "tls_failed"), ("127.0.0.1", "tls_failed")]
)
async def test_the_certificate_must_fit_the_name_although_an_address_is_connected_to(
    make_client: MakeClient, certificate: tuple[Path, Path], host: str, error: str | None
) -> None:
    made, key = certificate
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(made, key)
    trusting = ssl.create_default_context(cafile=str(made))
    with WebhookReceiver(tls=served) as receiver:
        client = make_client(ssl_context=trusting, resolver=Names("127.0.0.1"))
        assert (await post(client, receiver.url(host=host))).error == error
        assert len(receiver.received) == (error is None)


async def test_a_certificate_that_nobody_vouches_for_is_refused(
    make_client: MakeClient, certificate: tuple[Path, Path]
) -> None:
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(*certificate)
    with WebhookReceiver(tls=served) as receiver:
        answer = await post(make_client(resolver=Names("127.0.0.1")), receiver.url(host=HOST))
        assert answer.error == "tls_failed"
        assert receiver.received == []
