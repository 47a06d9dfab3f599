"""POST /seeds/populate: the bundled meetings or a CSV file, each row once."""

import asyncio
import io
import time
from typing import Any

import httpx
import pytest
from api_testkit import Api, MakeApi, Sql, assert_problem, make_lead

POPULATE = "/api/v1/seeds/populate"
HEADER = "Nombre,Correo Electronico,Numero de Telefono,Fecha de la Reunion,Vendedor asignado,closed,Transcripcion"
GOOD = "Ana García,ana@cliente.com,+54 11 3456-7890,2026-03-10,Boa Vista,1,Cliente: Hola"


def csv(*rows: str) -> str:
    return "\n".join([HEADER, *rows])


async def upload(api: Api, text: str | bytes, *, field: str = "file") -> httpx.Response:
    content = text.encode() if isinstance(text, str) else text
    return await api.post(POPULATE, files={field: ("meetings.csv", io.BytesIO(content), "text/csv")})


async def uploaded(api: Api, text: str | bytes) -> dict[str, Any]:
    answer = await upload(api, text)
    assert answer.status_code in (200, 202), answer.text
    body: dict[str, Any] = answer.json()
    assert (answer.status_code == 202) == (body["queued"] > 0)
    return body


async def counts(sql: Sql) -> dict[str, int]:
    tables = ("clients", "sellers", "meetings", "tasks")
    return {name: (await sql(f"SELECT count(*) AS n FROM {name}"))[0]["n"] for name in tables}


async def test_the_bundled_meetings_are_sixty_or_more_with_five_sellers_and_all_are_queued(api: Api, sql: Sql) -> None:
    answer = await api.post(POPULATE)
    body = answer.json()
    assert answer.status_code == 202
    assert set(body) == {"created", "skipped", "errors", "sharedEmails", "queued", "total"}
    made = body["created"]
    assert made["meetings"] >= 60
    assert made["sellers"] >= 5
    assert (body["skipped"], body["errors"]) == (0, [])
    assert body["queued"] == body["total"] == made["meetings"]
    assert await counts(sql) == {**made, "tasks": made["meetings"]}
    assert (await api.get(answer.headers["location"])).status_code == 200


async def test_a_second_time_nothing_is_made_and_nothing_is_queued(api: Api, sql: Sql) -> None:
    first = (await api.post(POPULATE, json={})).json()
    before = await counts(sql)
    second = await api.post(POPULATE)
    assert second.status_code == 200
    assert second.json()["created"] == {"clients": 0, "sellers": 0, "meetings": 0}
    assert (second.json()["skipped"], second.json()["queued"]) == (first["created"]["meetings"], 0)
    assert await counts(sql) == before


async def test_runs_at_the_same_moment_make_each_meeting_once(api: Api, sql: Sql) -> None:
    answers = await asyncio.gather(*(api.post(POPULATE) for _ in range(4)))
    bodies = [answer.json() for answer in answers]
    assert {answer.status_code for answer in answers} <= {200, 202}
    made = sum(body["created"]["meetings"] for body in bodies)
    assert made == max(body["created"]["meetings"] for body in bodies) == sum(body["queued"] for body in bodies)
    assert (await counts(sql))["meetings"] == (await counts(sql))["tasks"] == made


async def test_files_that_overlap_at_the_same_moment_make_each_row_once(api: Api, sql: Sql) -> None:
    rows = [f"P{n},p{n % 7}@x.com,,2026-03-{n % 28 + 1:02},S{n % 5},0,Hola {n}" for n in range(40)]
    files = [csv(*rows), csv(*reversed(rows)), csv(*rows[10:]), csv(*rows[:30])]
    bodies = await asyncio.gather(*(uploaded(api, text) for text in files))
    assert sum(body["created"]["meetings"] for body in bodies) == 40
    assert (await counts(sql))["meetings"] == (await counts(sql))["tasks"] == 40
    assert (await counts(sql))["sellers"] == 5
    assert await sql("SELECT email FROM clients WHERE email IS NOT NULL GROUP BY email HAVING count(*) > 1") == []


async def test_a_deleted_meeting_does_not_come_back(api: Api, sql: Sql) -> None:
    await uploaded(api, csv(GOOD))
    await sql("DELETE FROM meetings")
    again = await uploaded(api, csv(GOOD))
    assert (again["created"]["meetings"], again["skipped"]) == (0, 1)
    assert (await counts(sql))["meetings"] == 0


async def test_a_row_becomes_client_seller_and_meeting(api: Api, sql: Sql) -> None:
    lead = await make_lead(api, email="ANA@cliente.com")
    assert (await uploaded(api, csv(GOOD)))["created"] == {"clients": 1, "sellers": 1, "meetings": 1}
    [client] = (await api.get("/api/v1/clients")).json()["data"]
    assert (client["name"], client["email"], client["leadId"]) == ("Ana García", "ana@cliente.com", lead["id"])
    [seller] = (await api.get("/api/v1/sellers")).json()["data"]
    assert (seller["name"], seller["email"], seller["active"]) == ("Boa Vista", "boa.vista@example.com", True)
    [meeting] = (await api.get("/api/v1/meetings")).json()["data"]
    assert (meeting["meetingAt"], meeting["closed"]) == ("2026-03-10T00:00:00Z", True)
    [row] = await sql("SELECT transcript, transcript_changed_at IS NOT NULL AS dated FROM meetings")
    assert row == {"transcript": "Cliente: Hola", "dated": True}
    assert (await api.get("/api/v1/clients", params={"search": "3456-7890"})).json()["meta"]["total"] == 1


async def test_sellers_are_found_by_name_whatever_their_address(api: Api) -> None:
    made = (await api.post("/api/v1/sellers", json={"name": "Boa Vista", "email": "boa@firma.com"})).json()
    rows = [
        f"P{n},p{n}@x.com,,2026-03-10,{name},0,Hola" for n, name in enumerate(["Boa Vista", "BOA VISTA", "Boa vistá"])
    ]
    assert (await uploaded(api, csv(*rows)))["created"]["sellers"] == 0
    meetings = (await api.get("/api/v1/meetings")).json()["data"]
    assert {meeting["seller"]["id"] for meeting in meetings} == {made["id"]}


async def test_people_who_share_an_email_stay_apart_and_are_reported(api: Api) -> None:
    await api.post("/api/v1/clients", json={"name": "Ana García", "email": "ventas@x.com"})
    body = await uploaded(
        api,
        csv(
            "ana garcia,ventas@x.com,,2026-03-10,Boa,0,uno",
            "Bea Paz,ventas@x.com,,2026-03-11,Boa,0,dos",
            "Bea Paz,ventas@x.com,,2026-03-12,Boa,0,tres",
            "Caro,otra@x.com,,2026-03-12,Boa,0,cuatro",
            "Dora,otra@x.com,,2026-03-12,Boa,0,cinco",
        ),
    )
    assert body["sharedEmails"] == [
        {"row": 3, "email": "ventas@x.com", "clientName": "Bea Paz", "emailBelongsTo": "Ana García"},
        {"row": 6, "email": "otra@x.com", "clientName": "Dora", "emailBelongsTo": "Caro"},
    ]
    assert body["created"] == {"clients": 3, "sellers": 1, "meetings": 5}
    clients = {client["name"]: client["email"] for client in (await api.get("/api/v1/clients")).json()["data"]}
    assert clients == {"Ana García": "ventas@x.com", "Bea Paz": None, "Caro": "otra@x.com", "Dora": None}


async def test_each_bad_row_is_named_and_stops_no_other(api: Api) -> None:
    bad = {
        ",a@x.com,,2026-03-10,Boa,1,t": "name_missing",
        "Ana,no-mail,,2026-03-10,Boa,1,t": "email_invalid",
        "Ana,a@x.com,,,Boa,1,t": "date_missing",
        "Ana,a@x.com,,31/02/2026,Boa,1,t": "date_invalid",
        "Ana,a@x.com,,99999-01-01,Boa,1,t": "date_invalid",
        "Ana,a@x.com,,0001-01-01T00:00:00+14:00,Boa,1,t": "date_invalid",
        "Ana,a@x.com,,2026-03-10,,1,t": "seller_missing",
        "Ana,a@x.com,,2026-03-10,Boa,quizás,t": "closed_invalid",
        f"{'A' * 256},a@x.com,,2026-03-10,Boa,1,t": "too_long",
        f"Ana,a@x.com,{'1' * 51},2026-03-10,Boa,1,t": "too_long",
        "Ana,a@x.com,,2026-03-10,Boa,1,t,u,v": "too_many_cells",
        f'Ana,a@x.com,,2026-03-10,Boa,1,"{"t" * 70_000}"': "row_not_readable",
    }  # fmt: skip
    body = await uploaded(api, csv(*bad, "", GOOD))
    assert [(problem["row"], problem["code"]) for problem in body["errors"]] == list(enumerate(bad.values(), 2))
    assert all(problem["message"] for problem in body["errors"])
    assert body["created"]["meetings"] == 1


async def test_files_are_read_as_spreadsheets_write_them(api: Api, sql: Sql) -> None:
    body = await uploaded(
        api,
        "NOMBRE;Correo Electrónico;Número de Teléfono;Fecha de la Reunión;Vendedor Asignado;Closed;Transcripción\r\n"
        'Íñigo;inigo@x.com;\'+56 9 1234 5678;10/03/2026;Ñandú;no;"Línea uno\r\nLínea dos"\r\n'.encode("cp1252"),
    )
    assert (body["created"]["meetings"], body["errors"]) == (1, [])
    [row] = await sql(
        "SELECT c.name, c.phone, m.transcript, m.status FROM meetings m JOIN clients c ON c.id = client_id"
    )
    assert row == {"name": "Íñigo", "phone": "+56 9 1234 5678", "transcript": "Línea uno\nLínea dos", "status": "open"}


async def test_a_meeting_without_transcript_is_taken_in_and_not_queued(api: Api) -> None:
    body = await uploaded(api, csv("Ana,,,2026-03-10,Boa,,"))
    assert (body["created"]["meetings"], body["queued"], body["total"]) == (1, 0, 0)


async def test_the_same_row_twice_in_a_file_is_one_meeting(api: Api) -> None:
    body = await uploaded(api, csv(GOOD, GOOD))
    assert (body["created"]["meetings"], body["skipped"]) == (1, 1)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", "file_empty"),
        (HEADER, "no_rows"),
        ("Nombre,Fecha de la Reunion\nAna,2026-03-10", "columns_missing"),
        (HEADER.replace("closed", "NOMBRE") + "\nAna,,,2026-03-10,Boa,Beto,Hola", "columns_repeated"),
        (b"PK\x03\x04zip", "not_csv"),
        (b"\xff\xfe\x00\x00a", "encoding_unknown"),
        (b"x" * 300_000, "line_too_long"),
        ("\n".join([HEADER, *["Ana,,,2026-03-10,Boa,,"] * 5_001]), "too_many_rows"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 30 else "content",
)
async def test_a_file_that_cannot_be_used_is_422_and_changes_nothing(
    api: Api, sql: Sql, content: str | bytes, code: str
) -> None:
    body = assert_problem(await upload(api, content), 422, code)
    if code == "columns_missing":
        assert body["missing"] == ["Vendedor asignado", "Transcripcion"]
    if code == "columns_repeated":
        assert body["repeated"] == ["Nombre"]
    assert (await counts(sql))["meetings"] == 0


async def test_what_is_no_upload_is_refused(api: Api) -> None:
    assert_problem(await upload(api, csv(GOOD), field="data"), 422, "unknown_form_field")
    assert_problem(await api.post(POPULATE, json={"a": 1}), 415, "not_multipart")
    assert_problem(await api.post(POPULATE, content=csv(GOOD), headers={"content-type": "text/csv"}), 415)
    assert_problem(await api.post(POPULATE, files={"file": (None, "text")}), 422, "file_missing")
    for content in (b"no form", b"--x\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\nNomb"):
        answer = await api.post(POPULATE, content=content, headers={"content-type": "multipart/form-data; boundary=x"})
        assert answer.status_code in (400, 422), answer.text
    assert_problem(await api.post(POPULATE, content=b"x", headers={"content-type": "multipart/form-data"}), 400)
    assert_problem(await upload(api, b"x" * (11 * 1024 * 1024)), 413, "payload_too_large")


async def test_five_thousand_rows_take_seconds(api: Api, sql: Sql) -> None:
    rows = [f"P{n},p{n}@x.com,,2026-03-10,S{n % 20},0,{'Hola ' * 300}{n}" for n in range(5_000)]
    started = time.perf_counter()
    body = await uploaded(api, csv(*rows))
    print(f"5,000 meetings of an upload: {time.perf_counter() - started:.2f} s")
    assert body["created"] == {"clients": 5_000, "sellers": 20, "meetings": 5_000}
    assert body["queued"] == 5_000
    assert time.perf_counter() - started < 30


async def test_it_is_for_admins_and_audited_and_never_done_by_itself(api: Api, make_api: MakeApi, sql: Sql) -> None:
    await make_api()  # another start
    assert (await counts(sql))["meetings"] == 0
    agent = await api.client_for("SALES_AGENT")
    assert_problem(await agent.post(POPULATE), 403, "forbidden")
    await uploaded(api, csv(GOOD))
    [row] = await sql("SELECT data FROM audit_logs WHERE action = 'seed.populate'")
    assert row["data"] == {"source": "upload", "clients": 1, "sellers": 1, "meetings": 1, "errors": 0}
