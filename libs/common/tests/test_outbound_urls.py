"""Which URLs may be stored, and which addresses may be reached."""

import ipaddress

import pytest

from contactship_common.errors import UrlNotAllowed
from contactship_common.outbound import urls
from contactship_common.outbound.addresses import is_allowed, parse_networks
from contactship_common.settings import CoreSettings, explain

PRIVATE = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:0",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2002:c0a8:101::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]
PUBLIC = ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_local_or_reserved_address_is_never_reached(address: str) -> None:
    assert not is_allowed(ipaddress.ip_address(address))
    with pytest.raises(UrlNotAllowed):
        urls.check_url(f"https://[{address}]/" if ":" in address else f"https://{address}/", http=False)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_reached(address: str) -> None:
    assert is_allowed(ipaddress.ip_address(address))
    assert urls.check_url(f"https://[{address}]:8443/" if ":" in address else f"https://{address}/", http=False)


def test_the_operator_may_allow_private_networks() -> None:
    allow = parse_networks("10.1.0.0/16, ::1")
    allowed = ["10.1.2.3", "::ffff:10.1.2.3", "::1"]
    refused = ["10.2.0.1", "127.0.0.1", "::2", "::ffff:10.2.0.1"]
    assert [is_allowed(ipaddress.ip_address(one), allow) for one in allowed] == [True] * 3
    assert [is_allowed(ipaddress.ip_address(one), allow) for one in refused] == [False] * 4


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "/relative",
        "//example.com/x",
        "ftp://example.com/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http://example.com/",
        "https://",
        "https:///path",
        "https://user@example.com/",
        "https://user:secret@example.com/",
        "https://example.com/#part",
        "https://example.com:0/",
        "https://example.com:65536/",
        "https://example.com:abc/",
        "https://a..b/",
        f"https://{'a' * 64}.com/",
        "https://example.com/with blank",
        "https://example.com/line\nbreak",
        "https://example.com\\@127.0.0.1/",
        "https://[::1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://127.1/",
        "https://127.0.1/",
        "https://0177.0.0.1/",
        "https://017700000001/",
        "https://1.2.3.4.5/",
        "https://127.0.0.1./",
        "https://%31%32%37.0.0.1/",
        "https://１２７.０.０.１/",
        "https://127。0。0。1/",
        "https://localhost/",
        "https://LOCALHOST./",
        "https://app.localhost/",
        "https://printer.local/",
        "https://metadata.google.internal/",
        "https://example.com/" + "a" * 2_048,
        "https://example.com/" + "é" * 1_000,
    ],
)
def test_a_url_that_nobody_should_be_sent_to_is_refused_with_a_reason(url: str) -> None:
    with pytest.raises(UrlNotAllowed) as refused:
        urls.check_url(url, http=False)
    assert refused.value.detail
    assert refused.value.status == 422


@pytest.mark.parametrize(
    ("url", "stored"),
    [
        ("https://example.com", "https://example.com"),
        ("HTTPS://Example.COM/Hook?a=1&b=%20", "https://example.com/Hook?a=1&b=%20"),
        ("https://example.com:443/x", "https://example.com/x"),
        ("https://example.com:8443/x", "https://example.com:8443/x"),
        ("https://bücher.example/ñ", "https://xn--bcher-kva.example/%C3%B1"),
        ("https://example.com./x", "https://example.com./x"),
        ("https://xn--nxasmq6b.example/", "https://xn--nxasmq6b.example/"),
    ],
)
def test_a_usual_url_is_kept_in_its_normal_form(url: str, stored: str) -> None:
    kept = urls.check_url(url, http=False)
    assert str(kept.copy_with(host=kept.raw_host.decode())) == stored


@pytest.mark.parametrize(
    ("environment", "accepted"), [("development", True), ("test", True), ("staging", False), ("production", False)]
)
async def test_plain_http_is_for_development_and_tests(environment: str, accepted: bool) -> None:
    settings = CoreSettings(environment=environment)
    if accepted:
        assert await urls.accept_url(settings, "http://1.1.1.1/hook") == "http://1.1.1.1/hook"
    else:
        with pytest.raises(UrlNotAllowed, match="https"):
            await urls.accept_url(settings, "http://1.1.1.1/hook")


async def test_a_name_that_leads_to_this_machine_is_accepted_only_where_the_operator_allows_it() -> None:
    allowed = CoreSettings(environment="test", outbound_allow_cidrs="127.0.0.0/8")
    assert await urls.accept_url(allowed, "http://localhost:9/hook") == "http://localhost:9/hook"
    elsewhere = CoreSettings(environment="test", outbound_allow_cidrs="10.0.0.0/8")
    with pytest.raises(UrlNotAllowed, match="leads to"):
        await urls.accept_url(elsewhere, "http://localhost:9/hook")


async def test_a_name_that_cannot_be_looked_up_now_is_accepted() -> None:
    settings = CoreSettings(environment="test")
    url = "http://no-such-host.invalid/hook"
    assert await urls.accept_url(settings, url) == url


@pytest.mark.parametrize("text", ["10.0.0.0/33", "everything", "10.0.0.0/8;127.0.0.0/8"])
def test_a_network_that_is_none_stops_the_start_with_a_clear_line(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTBOUND_ALLOW_CIDRS", text)
    with pytest.raises(ValueError) as refused:
        CoreSettings()
    assert "OUTBOUND_ALLOW_CIDRS" in explain(refused.value)
    assert "not a network such as 10.0.0.0/8" in explain(refused.value)
