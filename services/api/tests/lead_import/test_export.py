"""GET /leads/export: everything once, safe in a spreadsheet, and readable by the import."""

import csv
import io
from typing import Any

import httpx
import pytest
from api_testkit import Api, assert_problem, make_lead, seed_leads

from contactship_api.lead_export import queries


def rows_of(answer: httpx.Response) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))


async def test_everything_comes_once_in_steps_and_in_the_order_of_ids(
    api: Api, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await seed_leads(database_url, 250)
    for step in (1, 7, 125, 250, 251):
        monkeypatch.setattr(queries, "LEADS_A_STEP", step)
        ids = [row["id"] for row in rows_of(await api.get("/api/v1/leads/export"))]
        assert len(ids) == 250
        assert ids == sorted(set(ids))


async def test_the_filters_are_those_of_the_list(api: Api, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await seed_leads(database_url, 200)
    owner = (await api.client_for("SALES_AGENT")).headers["x-test-user"]
    await make_lead(api, ownerId=owner)
    monkeypatch.setattr(queries, "LEADS_A_STEP", 30)
    for query in (
        {"status": "lost"},
        {"source": "csv", "status": "new"},
        {"search": "seed1"},
        {"ownerId": owner},
        {"search": "%"},
    ):
        exported = {row["id"] for row in rows_of(await api.get("/api/v1/leads/export", params=query))}
        listed, page = set(), 1
        while data := (await api.get("/api/v1/leads", params={**query, "take": 100, "page": page})).json()["data"]:
            listed |= {lead["id"] for lead in data}
            page += 1
        assert exported == listed


async def test_formulas_are_neutralised_and_come_back_as_they_were(api: Api, sql: Any) -> None:
    wild = {
        "firstName": "=HYPERLINK(\"http://evil\")", "lastName": "@SUM(1;2)", "phone": "+54 11 3456-7890",
        "address": {"street": "-2+3", "city": "'=x", "postcode": "007"}, "nationality": "a\"b,c;d", "gender": "other",
        "dateOfBirth": "1990-08-17", "externalId": "=1", "metadata": {"a": {"b": [1, "ñ\n="]}}, "status": "qualified",
        "source": "csv", "pictureUrl": "https://example.com/a.png",
    }  # fmt: skip
    lead = await make_lead(api, **wild)
    answer = await api.get("/api/v1/leads/export", params={"bom": "true"})
    assert answer.content.startswith(b"\xef\xbb\xbf")
    [row] = rows_of(answer)
    assert (row["firstName"], row["lastName"], row["phone"], row["street"], row["city"]) == (
        "'" + wild["firstName"], "'@SUM(1;2)", "'+54 11 3456-7890", "'-2+3", "''=x",
    )  # fmt: skip
    assert not [cell for cell in row.values() if cell.startswith(tuple("=+-@\t\r"))]
    told = await api.post("/api/v1/leads/import?dryRun=true", files={"file": ("x.csv", answer.content)})
    assert (told.json()["rows"], told.json()["wouldSkip"], told.json()["errors"]) == (1, 1, [])
    kept = {name: field for name, field in told.json()["mapping"].items() if field is None}
    assert kept.keys() == {"id", "source", "ownerId", "summary", "nextAction", "createdAt", "updatedAt"}
    back = await _read_back(answer.content)
    person = lead["person"]
    assert (back.first_name, back.last_name, back.phone) == (person["firstName"], person["lastName"], person["phone"])
    assert back.address == {k: v for k, v in person["address"].items() if v}
    assert (back.metadata, back.external_id, back.status) == (lead["metadata"], "=1", "qualified")
    assert (str(back.date_of_birth), back.picture_url) == ("1990-08-17", wild["pictureUrl"])


async def _read_back(content: bytes) -> Any:
    from contactship_common.lead_csv.chunks import read_chunk, read_layout
    from contactship_common.lead_csv.encoding import EncodingScan

    scan = EncodingScan()
    scan.feed(content)
    layout, start = read_layout(content, scan.decide(), at_end=True, mapping=None)
    [lead] = read_chunk(content[start.byte :], layout, start, at_end=True).leads
    return lead


async def test_an_export_is_a_named_file_and_is_audited(api: Api, sql: Any) -> None:
    answer = await api.get("/api/v1/leads/export", params={"search": "secret@example.com", "status": "new"})
    assert rows_of(answer) == []
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].startswith('attachment; filename="leads-2')
    [audited] = await sql("SELECT action, data FROM audit_logs WHERE action = 'lead.export'")
    assert audited["data"] == {"status": "new", "source": None, "ownerId": None, "search": True}


async def test_what_is_wrong_before_the_first_byte_is_a_problem(api: Api, sql: Any) -> None:
    assert_problem(await api.get("/api/v1/leads/export", params={"status": "nope"}), 422, "validation_failed")
    assert_problem(await api.get("/api/v1/leads/export", params={"sort": "name"}), 422, "validation_failed")
    await make_lead(api)
    await sql("ALTER TABLE leads RENAME TO leads_away")
    await sql("CREATE VIEW leads AS SELECT * FROM leads_away WHERE 1 / (random() * 0)::int > 0")
    answer = await api.get("/api/v1/leads/export")
    assert answer.status_code >= 400
    assert answer.headers["content-type"] == "application/problem+json"


async def test_row_errors_are_downloaded_as_csv(api: Api, sql: Any) -> None:
    content = "name,email\nAna,ana@example.com\n"
    accepted = (await api.post("/api/v1/leads/import", files={"file": ("x.csv", content)})).json()
    await sql(
        "INSERT INTO lead_import_errors (import_id, row_number, code, message)"
        " SELECT %s, n, 'email_invalid', '=not an e-mail' FROM generate_series(2, 10500) AS n",
        accepted["importId"],
    )
    url = (await api.get(f"/api/v1/leads/imports/{accepted['importId']}")).json()["errorsUrl"]
    answer = await api.get(url)
    found = rows_of(answer)
    assert [int(row["row"]) for row in found] == list(range(2, 10_501))
    assert found[0] == {"row": "2", "code": "email_invalid", "message": "'=not an e-mail"}
    assert ".csv" in answer.headers["content-disposition"]
