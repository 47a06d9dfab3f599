"""GET /leads?search=."""

import pytest
from api_testkit import Api, MakeApi, Sql, assert_problem, make_lead, seed_leads

LEADS = "/api/v1/leads"


async def found(api: Api, text: str) -> set[str]:
    answer = await api.get(LEADS, params={"search": text})
    assert answer.status_code == 200, answer.text
    return {lead["email"] for lead in answer.json()["data"]}


@pytest.fixture
async def people(api: Api) -> Api:
    await make_lead(
        api, firstName="María José", lastName="O'Higgins", email="mj@one.example.com", phone="+54 11 3456-7890"
    )
    await make_lead(
        api, firstName="100%_sure", lastName="back\\slash", email="odd@two.example.com", phone="(020) 7946 0958"
    )
    await make_lead(api, firstName="Fox 🦊", lastName="محمد", email="fox@three.example.com")
    return api


@pytest.mark.parametrize(
    ("text", "email"),
    [
        ("maría", "mj"), ("MARÍA JOSÉ O'HIGGINS", "mj"), ("josé o'h", "mj"), ("mj@one", "mj"), ("  higgins  ", "mj"),
        ("+54 11 3456-7890", "mj"), ("541134567890", "mj"), ("3456 7890", "mj"), ("(11) 3456.7890", "mj"),
        ("020 7946-0958", "odd"), ("100%", "odd"), ("%_s", "odd"), ("k\\s", "odd"), ("\\", "odd"), ("%", "odd"),
        ("🦊", "fox"), ("محمد", "fox"), ("Fox 🦊 محمد", "fox"), ("THREE.example", "fox"),
    ],
)  # fmt: skip
async def test_a_part_of_name_email_or_phone_finds_the_lead(people: Api, text: str, email: str) -> None:
    assert {address.split("@")[0] for address in await found(people, text)} == {email}


@pytest.mark.parametrize("text", ["maria jose", "o%higgins", "_", "1%0", "nobody", "99999999", "';--", "()"])
async def test_what_is_not_there_is_not_found(people: Api, text: str) -> None:
    assert await found(people, text) == ({"odd@two.example.com"} if text == "_" else set())


async def test_only_spaces_are_no_search(people: Api) -> None:
    assert len(await found(people, "   ")) == 3


async def test_a_search_that_takes_too_long_is_503_and_the_connection_lives_on(make_api: MakeApi, sql: Sql) -> None:
    api = await make_api(search_timeout_ms=50, db_pool_size=1)
    await seed_leads(api.database_url, 50)
    # A lock instead of a million rows: the statement waits, and the limit ends it.
    await sql("BEGIN")
    await sql("LOCK TABLE leads IN ACCESS EXCLUSIVE MODE")
    body = assert_problem(await api.get(LEADS, params={"search": "seed"}), 503, "search_too_broad")
    assert "narrow" in body["detail"]
    await sql("ROLLBACK")
    assert len(await found(api, "seed")) == 10
