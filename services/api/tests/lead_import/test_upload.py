"""POST /leads/import: what is accepted, what is refused, and what is left behind."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from api_testkit import Api, assert_problem

GOOD = "Nombre;Apellido;Correo electrónico\r\nJosé;Peña;JOSE@example.com\r\n"
MIB = 1024 * 1024


async def upload(api: Api | httpx.AsyncClient, content: bytes | str, *, query: str = "", **form: str) -> httpx.Response:
    raw = content.encode() if isinstance(content, str) else content
    files = {"file": ("people.csv", raw, "text/csv")}
    return await api.post(f"/api/v1/leads/import{query}", files=files, data=form)


async def left_behind(sql: Any) -> dict[str, int]:
    tables = ("lead_imports", "lead_import_pieces", "tasks", "leads", "audit_logs")
    counts = {table: (await sql(f"SELECT count(*)::int AS n FROM {table}"))[0]["n"] for table in tables}
    return {table: count for table, count in counts.items() if count}


async def test_an_upload_is_stored_and_queued(api: Api, sql: Any) -> None:
    answer = await upload(api, GOOD)
    assert answer.status_code == 202, answer.text
    told = answer.json()
    assert answer.headers["location"] == f"/api/v1/tasks/{told['taskId']}"
    assert answer.headers["retry-after"]
    task = (await api.get(f"/api/v1/tasks/{told['taskId']}")).json()
    assert task["kind"] == "lead.import"
    assert task["links"]["subject"] == f"/api/v1/leads/imports/{told['importId']}"
    shown = (await api.get(task["links"]["subject"])).json()
    assert shown["status"] == "processing"
    assert shown["mapping"] == {"Nombre": "firstName", "Apellido": "lastName", "Correo electrónico": "email"}
    assert list(shown["mapping"]) == ["Nombre", "Apellido", "Correo electrónico"]
    assert (shown["fileName"], shown["encoding"], shown["delimiter"]) == ("people.csv", "utf-8", ";")
    assert (shown["recordsProcessed"], shown["finishedAt"]) == (0, None)
    [piece] = await sql("SELECT number, content FROM lead_import_pieces")
    assert (piece["number"], bytes(piece["content"])) == (0, GOOD.encode())
    [audited] = await sql("SELECT action, actor, data FROM audit_logs")
    assert (audited["action"], audited["actor"]) == ("lead.import", "key:root")
    assert "example.com" not in str(audited["data"])


async def test_a_dry_run_writes_nothing(api: Api, sql: Any) -> None:
    answer = await upload(api, GOOD + "José;P;jose@EXAMPLE.com \r\nx;y;z\r\n", query="?dryRun=true")
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["rows"], told["wouldCreate"], told["wouldSkip"], told["failed"]) == (3, 1, 1, 1)
    assert told["errors"] == [{"row": 4, "code": "email_invalid", "message": "this is not an e-mail address"}]
    assert await left_behind(sql) == {}


async def test_a_dry_run_knows_what_is_in_the_table(api: Api) -> None:
    await api.post("/api/v1/leads", json={"name": "Ana Paz", "email": "jose@example.com"})
    with_id = {"name": "Ana Paz", "email": "o@example.com", "source": "csv", "externalId": "7"}
    await api.post("/api/v1/leads", json=with_id)
    told = (await upload(api, GOOD + "Eva;Paz;eva@example.com\r\n", query="?dryRun=true")).json()
    assert (told["wouldCreate"], told["wouldSkip"]) == (1, 1)
    rows = "name,email,external id\nA,a@example.com,7\nB,b@example.com,8\nC,c@example.com,8\nD,d@example.com,9\n"
    told = (await upload(api, rows, query="?dryRun=true")).json()
    assert (told["wouldCreate"], told["wouldSkip"]) == (2, 2)


async def test_a_dry_run_shows_the_first_fifty_errors_and_counts_all(api: Api) -> None:
    rows = "name,email\n" + "".join(f"Ana,{n}\n" for n in range(5_000))
    told = (await upload(api, rows, query="?dryRun=true")).json()
    assert (told["rows"], told["failed"], len(told["errors"])) == (5_000, 5_000, 50)
    assert [error["row"] for error in told["errors"]] == list(range(2, 52))


async def test_a_mapping_overrides_the_guess(api: Api) -> None:
    content = "Nombre,Correo,Mail de trabajo,Interno\nAna,private@example.com,work@example.com,1\n"
    mapping = '{"Mail de trabajo": "email", "Correo": "metadata.privateEmail", "Interno": null}'
    told = (await upload(api, content, query="?dryRun=true", mapping=mapping)).json()
    assert told["mapping"] == {
        "Nombre": "firstName", "Correo": "metadata.privateEmail", "Mail de trabajo": "email", "Interno": None,
    }  # fmt: skip
    assert told["unmappedColumns"] == ["Interno"]


async def test_a_mapping_that_does_not_fit_is_refused(api: Api, sql: Any) -> None:
    refused = [
        ('{"Nope": "email"}', 422, "mapping_invalid"),
        ('{"Nombre": "shoeSize"}', 422, "mapping_invalid"),
        ('["email"]', 422, "validation_failed"),
        ('{"Nombre": 3}', 422, "validation_failed"),
        ("{", 400, "malformed_json"),
        ('{"Nombre": "a\\u0000b"}', 422, "validation_failed"),
        ('{"Correo electrónico": null}', 422, "email_column_missing"),
        (" " * 70_000, 413, "payload_too_large"),
    ]
    for mapping, status, code in refused:
        body = assert_problem(await upload(api, GOOD, mapping=mapping), status, code, not_shown="shoeSize")
        if code == "mapping_invalid":
            assert body["errors"][0]["path"] == "mapping.0"
    assert await left_behind(sql) == {}


async def test_a_file_that_cannot_be_imported_is_refused(api: Api, sql: Any) -> None:
    refused: list[tuple[bytes | str, str]] = [
        ("", "file_empty"),
        ("\ufeff", "file_empty"),
        ("name,email\n", "no_rows"),
        ("name,city\na,b\n", "email_column_missing"),
        ("email,city\na@example.com,b\n", "name_column_missing"),
        (b"PK\x03\x04...", "not_csv"),
        ("name,email\na,b@example.com\n".encode("utf-16-be"), "encoding_unknown"),
        ("x" * 400_000, "line_too_long"),
    ]
    for content, code in refused:
        for query in ("", "?dryRun=true"):
            assert_problem(await upload(api, content, query=query), 422, code)
    assert await left_behind(sql) == {}


async def test_a_form_that_is_none_is_refused(api: Api) -> None:
    path = "/api/v1/leads/import"
    assert_problem(await api.post(path, json={"file": "x"}), 415, "not_multipart")
    assert_problem(await api.post(path), 415, "not_multipart")
    form = {"content-type": "multipart/form-data"}
    assert_problem(await api.post(path, content=b"x", headers=form), 400, "malformed_upload")
    form = {"content-type": "multipart/form-data; boundary=b"}
    for body in (b"x", b"--b\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\nname,email\r\n", b""):
        assert_problem(await api.post(path, content=body, headers=form), 400, "malformed_upload")
    assert_problem(await api.post(path, files={"mapping": (None, "{}")}), 422, "file_missing")
    assert_problem(await api.post(path, files={"file": (None, GOOD)}), 422, "file_missing")
    assert_problem(await api.post(path, files={"other": ("a", GOOD)}), 422, "unknown_form_field")
    twice = [("file", ("a", GOOD)), ("file", ("b", GOOD))]
    assert_problem(await api.post(path, files=twice), 422, "unknown_form_field")
    assert_problem(await upload(api, GOOD, query="?dryrun=true"), 422, "validation_failed")


@pytest.mark.parametrize("query", ["", "?dryRun=true"])
async def test_over_fifty_mebibytes_is_refused_and_nothing_stays(api: Api, sql: Any, query: str) -> None:
    line = b"Ana,Paz,ana@example.com,".ljust(1_023, b"x") + b"\n"

    async def stream() -> AsyncIterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
        yield b"first name,last name,email,n\n"
        for _ in range(51):
            yield line * 1_024
        yield b"\r\n--b--\r\n"

    form = {"content-type": "multipart/form-data; boundary=b"}
    answer = await api.post(f"/api/v1/leads/import{query}", content=stream(), headers=form)
    assert_problem(answer, 413, "payload_too_large")
    declared = {**form, "content-length": str(51 * MIB)}
    assert_problem(await api.post("/api/v1/leads/import", content=b"", headers=declared), 413, "payload_too_large")
    assert await left_behind(sql) == {}


async def test_an_upload_that_breaks_off_leaves_nothing(api: Api, sql: Any) -> None:
    seen = asyncio.Event()
    start = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\nname,email\n'
    messages = iter([start, b"Ana,ana@example.com\n" * 100_000])

    async def receive() -> dict[str, Any]:
        for body in messages:
            return {"type": "http.request", "body": body, "more_body": True}
        assert (await left_behind(sql))["lead_import_pieces"] == 1  # stored as it arrived
        seen.set()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        pass

    headers = [
        (b"content-type", b"multipart/form-data; boundary=b"),
        (b"x-api-key", api.root.headers["x-api-key"].encode()),
    ]
    scope = {
        "type": "http", "method": "POST", "path": "/api/v1/leads/import", "raw_path": b"/api/v1/leads/import",
        "query_string": b"", "headers": headers, "client": ("127.0.0.1", 1), "server": ("api", 80), "scheme": "http",
        "http_version": "1.1", "root_path": "",
    }  # fmt: skip
    await api.app(scope, receive, send)
    assert seen.is_set()
    assert await left_behind(sql) == {}


async def test_only_those_who_administer_leads_import_and_export(api: Api) -> None:
    agent = await api.client_for("SALES_AGENT")
    admin = await api.client_for("ADMIN")
    accepted = (await upload(admin, GOOD)).json()
    paths = ("/leads/export", f"/leads/imports/{accepted['importId']}", f"/leads/imports/{accepted['importId']}/errors")
    for path in paths:
        assert_problem(await agent.get(f"/api/v1{path}"), 403, "forbidden")
        assert_problem(await api.anonymous.get(f"/api/v1{path}"), 401)
        assert (await admin.get(f"/api/v1{path}")).status_code == 200
    assert_problem(await upload(agent, GOOD), 403, "forbidden")
    assert_problem(await upload(api.anonymous, GOOD), 401)
    assert_problem(await agent.get(f"/api/v1/tasks/{accepted['taskId']}"), 404, "task_not_found")
    for path in ("imports/nonsense", "imports/01932d5c-89a4-7b6e-9f1a-3a5b7c9d1e2f"):
        assert_problem(await admin.get(f"/api/v1/leads/{path}"), 404)
        assert_problem(await admin.get(f"/api/v1/leads/{path}/errors"), 404)


async def test_a_cancelled_import_says_so(api: Api) -> None:
    accepted = (await upload(api, GOOD)).json()
    assert (await api.delete(f"/api/v1/tasks/{accepted['taskId']}")).status_code == 204
    assert (await api.get(f"/api/v1/leads/imports/{accepted['importId']}")).json()["status"] == "cancelled"


async def test_the_document_describes_the_form_and_its_answers(api: Api) -> None:
    paths = (await api.get("/api/openapi.json")).json()["paths"]
    operation = paths["/api/v1/leads/import"]["post"]
    form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["properties"].keys() == {"file", "mapping"}
    assert {"200", "202", "400", "401", "403", "413", "415", "422", "429", "503"} <= operation["responses"].keys()
    for path in ("/api/v1/leads/export", "/api/v1/leads/imports/{import_id}/errors"):
        assert paths[path]["get"]["responses"]["200"]["content"].keys() == {"text/csv"}
