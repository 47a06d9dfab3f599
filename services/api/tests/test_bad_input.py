"""Whatever comes in, a clear 4xx goes out and never a 5xx. The application is shared: nothing here is stored."""

import json
from collections.abc import AsyncIterator

import pytest
from api_testkit import Api, assert_problem, new_lead

LEADS = "/api/v1/leads"
JSON = {"content-type": "application/json"}
UNKNOWN = "01932d5c-89a4-7b6e-9f1a-3a5b7c9d1e2f"


def _nested(depth: int) -> bytes:
    return b'{"metadata":{"a":' + b"[" * depth + b"]" * depth + b"}}"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"{", "malformed_json"),
        (b"", "validation_failed"),
        (b'{"email": NaN}', "malformed_json"),
        (b'{"email": Infinity}', "malformed_json"),
        (b'{"metadata": {"n": -Infinity}}', "malformed_json"),
        (b'{"metadata": {"n": 1e400}}', "malformed_json"),
        (rb'{"email": "\ud800"}', "malformed_json"),
        (rb'{"\udfff": 1}', "malformed_json"),
        (b'{"email": "\xed\xa0\x80"}', "malformed_json"),
        (b'{"email": "\xff"}', "malformed_json"),
        (b'\xef\xbb\xbf{"email": "a@example.com"}', "malformed_json"),
        (json.dumps(new_lead()).encode("utf-16"), "malformed_json"),
        (b"{'email': 1}", "malformed_json"),
        (_nested(63), "json_too_deep"),
        (_nested(5_000), "json_too_deep"),
        (rb'{"firstName": "a\u0000b"}', "validation_failed"),
        (rb'{"first\u0000Name": "a"}', "validation_failed"),
        (rb'{"metadata": {"k\u0000": {"x": ["\u0000"]}}}', "validation_failed"),
        (b"null", "validation_failed"),
        (b"[]", "validation_failed"),
        (b'"text"', "validation_failed"),
        (b"123456789012345678901234567890", "validation_failed"),
    ],
)
async def test_a_body_that_is_not_acceptable_json_is_refused(shared_api: Api, raw: bytes, code: str) -> None:
    answer = await shared_api.post(LEADS, content=raw, headers=JSON)
    assert_problem(answer, 422 if code == "validation_failed" else 400, code)


async def test_sixty_four_levels_are_accepted(shared_api: Api) -> None:
    deep = json.loads(b"[" * 62 + b"1" + b"]" * 62)
    answer = await shared_api.post(LEADS, json=new_lead(metadata={"a": deep}))
    assert answer.status_code == 201
    assert answer.json()["metadata"] == {"a": deep}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("firstName", 1),
        ("firstName", ["a"]),
        ("firstName", ""),
        ("firstName", "   "),
        ("firstName", "x" * 1_000_000),
        ("firstName", "x" * 256),
        ("firstName", "a\u0007b"),
        ("firstName", "a\nb"),
        ("firstName", "a\u202eb"),
        ("firstName", "a\u0085b"),
        ("lastName", None),
        ("lastName", {"a": 1}),
        ("name", "Both Kinds"),
        ("email", "not-an-address"),
        ("email", None),
        ("email", 7),
        ("email", "a" * 250 + "@example.com"),
        ("email", "<script>@example.com"),
        ("phone", "1" * 51),
        ("phone", 123),
        ("address", "street"),
        ("address", {"planet": "Mars"}),
        ("address", {"city": "x" * 101}),
        ("dateOfBirth", "31/12/1999"),
        ("dateOfBirth", "1999-02-30"),
        ("dateOfBirth", "2999-01-01"),
        ("dateOfBirth", True),
        ("nationality", "x" * 101),
        ("gender", "x" * 21),
        ("pictureUrl", "javascript:alert(1)"),
        ("pictureUrl", "https://"),
        ("pictureUrl", "http://[::1"),
        ("pictureUrl", "ftp://example.com/x"),
        ("source", "carrier pigeon"),
        ("status", "NEW"),
        ("status", None),
        ("metadata", []),
        ("metadata", {"big": "x" * 16_400}),
        ("ownerId", "1"),
        ("ownerId", 5),
        ("externalId", "x" * 256),
        ("unknownField", 1),
        ("id", UNKNOWN),
        ("version", 2),
        ("__proto__", {}),
        ("first name", "Ana"),
    ],
)
async def test_a_wrong_value_is_422_and_not_echoed(shared_api: Api, field: str, value: object) -> None:
    body = assert_problem(await shared_api.post(LEADS, json=new_lead(**{field: value})), 422, "validation_failed")
    assert len(json.dumps(body)) < 2_000
    if isinstance(value, str) and len(value) > 4:
        assert value not in json.dumps(body["errors"])


async def test_a_plain_field_name_is_named_and_a_strange_one_is_not(shared_api: Api) -> None:
    plain = assert_problem(await shared_api.post(LEADS, json=new_lead(shoeSize=44)), 422)
    assert plain["errors"][0]["path"] == "body.shoeSize"
    strange = assert_problem(await shared_api.post(LEADS, json=new_lead(**{"<b>x</b>": 44})), 422, not_shown="<b>")
    assert strange["errors"][0]["path"] == "body.?"


@pytest.mark.parametrize(
    "name",
    ["Zoë 🦊", "محمد", "עברית", "Łukasz", "李", "O'Brien; DROP TABLE leads--", "{{7*7}}", "%s%n", "\\", "<b>bold</b>"],
)
async def test_any_printable_text_is_kept_as_it_is(shared_api: Api, name: str) -> None:
    answer = await shared_api.post(LEADS, json=new_lead(firstName=name, metadata={name: name}))
    assert answer.status_code == 201
    again = (await shared_api.get(f"{LEADS}/{answer.json()['id']}")).json()
    assert again["person"]["firstName"] == name
    assert again["metadata"] == {name: name}


@pytest.mark.parametrize("number", [2**63, 2**64, 10**40, -(10**25), 1.5e308, 1e-320, 0.1])
async def test_numbers_of_any_size_survive_in_metadata(shared_api: Api, number: float) -> None:
    answer = await shared_api.post(LEADS, json=new_lead(metadata={"n": number}))
    assert answer.status_code == 201, answer.text
    lead = (await shared_api.get(f"{LEADS}/{answer.json()['id']}")).json()
    assert lead["metadata"]["n"] == pytest.approx(number)
    assert (await shared_api.get(LEADS)).status_code == 200


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "",
        "json",
        "multipart/form-data; boundary=x",
        "application/xml",
    ],
)
async def test_another_content_type_is_415(shared_api: Api, content_type: str) -> None:
    answer = await shared_api.post(LEADS, content=json.dumps(new_lead()), headers={"content-type": content_type})
    assert_problem(answer, 415, "unsupported_media_type")


async def test_a_missing_content_type_is_415(shared_api: Api) -> None:
    assert_problem(await shared_api.post(LEADS, content=json.dumps(new_lead())), 415)


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/merge-patch+json"]
)
async def test_json_is_json_however_it_is_written(shared_api: Api, content_type: str) -> None:
    answer = await shared_api.post(LEADS, content=json.dumps(new_lead()), headers={"content-type": content_type})
    assert answer.status_code == 201


async def test_a_body_over_a_mebibyte_is_413(shared_api: Api) -> None:
    answer = await shared_api.post(LEADS, content=b'{"a":"' + b"x" * 2_000_000 + b'"}', headers=JSON)
    assert_problem(answer, 413, "payload_too_large")


async def test_a_long_body_that_does_not_say_so_is_413_as_well(shared_api: Api) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(32):
            yield b"x" * 65_536

    assert_problem(await shared_api.post(LEADS, content=chunks(), headers=JSON), 413, "payload_too_large")


@pytest.mark.parametrize(
    "query",
    [
        "page=0", "page=-1", "page=abc", "page=1.5", "page=99999999999999999999", "take=0", "take=-5", "take=101",
        "take=abc", "limit=0", "take=5&limit=6", "status=unknown", "status=", "source=x", "ownerId=1", "sort=email",
        "sort=--name", "unknown=1", "search=a%00b", "search=" + "x" * 201, "Page=1", "page[]=1", "owner_id=1", "take=",
        "page=%D9%A1%D9%A2x", "search=x&%00=1",
    ],
)  # fmt: skip
async def test_a_wrong_query_parameter_is_422(shared_api: Api, query: str) -> None:
    assert_problem(await shared_api.get(f"{LEADS}?{query}"), 422, "validation_failed")


@pytest.mark.parametrize(
    "query",
    [
        "page=1&page=2",
        "search=%ff%fe",
        "search=%ed%a0%80",
        "search=%F0%9F%A6%8A",
        "search=%25_%5C",
        "search=",
        "cursor=",
    ],
)
async def test_a_strange_but_harmless_query_is_answered(shared_api: Api, query: str) -> None:
    assert (await shared_api.get(f"{LEADS}?{query}")).status_code == 200


@pytest.mark.parametrize(
    "lead_id",
    [
        "1",
        "clh000",
        "..%2Fx",
        "%00",
        "%ff",
        "x" * 3_000,
        "00000000-0000-0000-0000-00000000000g",
        "%F0%9F%A6%8A",
        UNKNOWN,
        "null",
        "-1",
        "%2e%2e",
        "' OR 1=1",
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/leads/{}"),
        ("PATCH", "/api/v1/leads/{}"),
        ("DELETE", "/api/v1/leads/{}"),
        ("POST", "/api/v1/leads/{}/summarize"),
        ("GET", "/api/v1/tasks/{}"),
        ("DELETE", "/api/v1/tasks/{}"),
        ("POST", "/api/v1/tasks/{}/retry"),
        ("GET", "/api/v1/tasks/batches/{}"),
    ],
)  # fmt: skip
async def test_an_id_that_nothing_has_is_404(shared_api: Api, method: str, path: str, lead_id: str) -> None:
    body = {"json": {"phone": None}} if method == "PATCH" else {}
    assert_problem(await shared_api.request(method, path.format(lead_id), **body), 404, not_shown="OR 1=1")


@pytest.mark.parametrize("header", ["", "two words", "x" * 256, "é"])
async def test_a_strange_idempotency_key_is_400(shared_api: Api, header: str) -> None:
    raw = {"idempotency-key": header.encode("latin-1")}
    assert_problem(await shared_api.post(LEADS, json=new_lead(), headers=raw), 400, "bad_idempotency_key")


@pytest.mark.parametrize(
    "path", ["/nowhere", "/api/v1/nowhere", "/api/v1/leads/", "/api/v2/leads", "/%00", "/api/v1/leads/x/y/z"]
)
async def test_an_unknown_address_is_404(shared_api: Api, path: str) -> None:
    assert_problem(await shared_api.anonymous.get(path), 404)
