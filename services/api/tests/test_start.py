"""Starting real processes: the first ADMIN, and the refusals of production."""

import asyncio
import subprocess

import httpx
import psycopg
import pytest
from api_testkit import MakeApi, Sql, until

from contactship_api.main import main
from contactship_devstack.processes import script
from contactship_devstack.testing import StackFactory

PRODUCTION = {
    "ENVIRONMENT": "production", "JWT_SECRET": "j" * 40, "API_SECRET_KEY": "k" * 40, "PORT": "0",
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "REDIS_URL": "redis://127.0.0.1:1/0",
}  # fmt: skip


async def test_of_processes_that_start_at_once_one_makes_the_first_admin(make_api: MakeApi, sql: Sql) -> None:
    chosen = {
        "environment": "test",
        "super_admin_email": " Boss@Example.com",
        "super_admin_password": "a good password",
    }
    apis = await asyncio.gather(*(make_api(**chosen) for _ in range(4)))
    assert await sql("SELECT email, role, active FROM users") == [
        {"email": "boss@example.com", "role": "ADMIN", "active": True}
    ]
    assert len(await sql("SELECT 1 FROM audit_logs WHERE action = 'user.create'")) == 1
    assert await apis[0].token("boss@example.com", password="a good password")


async def test_an_existing_admin_is_left_alone(make_api: MakeApi, sql: Sql) -> None:
    first = await make_api()
    await first.make_user("someone@example.com", "ADMIN")
    await make_api(environment="test", super_admin_email="new@example.com", super_admin_password="a good password")
    assert [row["email"] for row in await sql("SELECT email FROM users")] == ["someone@example.com"]


async def test_development_has_the_documented_admin(make_api: MakeApi) -> None:
    api = await make_api(environment="development")
    assert await api.token("admin@contactship.com", password="admin123")


async def test_production_makes_none_without_being_told(make_api: MakeApi, sql: Sql) -> None:
    await make_api(environment="production")
    assert await sql("SELECT 1 FROM users") == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"JWT_SECRET": ""}, "JWT_SECRET"),
        ({"JWT_SECRET": "short"}, "JWT_SECRET"),
        ({"JWT_SECRET": "contactship-development-secret-never-use-in-production"}, "JWT_SECRET"),
        ({"API_SECRET_KEY": "secret123"}, "API_SECRET_KEY"),
        ({"API_SECRET_KEY": "my-super-secret-key-123"}, "API_SECRET_KEY"),
        ({"SUPER_ADMIN_EMAIL": "a@example.com", "SUPER_ADMIN_PASSWORD": "admin123"}, "SUPER_ADMIN_PASSWORD"),
        ({"TRUSTED_PROXIES": "everybody"}, "TRUSTED_PROXIES"),
        ({"JWT_EXPIRES_IN": "soon"}, "JWT_EXPIRES_IN"),
        ({"DATABASE_URL": ""}, "DATABASE_URL"),
    ],
)
def test_production_does_not_start_with_a_wrong_setting_and_names_it(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, str], named: str
) -> None:
    monkeypatch.setattr("contactship_api.main.telemetry.start", lambda *_: None)  # it is the whole process's
    for name, value in (PRODUCTION | change).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        main()
    message = str(ended.value)
    assert named in message
    assert "\n" not in message
    for secret in ("secret123", "my-super", "admin123"):
        assert secret not in message


@pytest.mark.system
def test_a_refusal_is_one_line_and_exit_status_one() -> None:
    ended = subprocess.run(
        [script("contactship-api")],
        env=PRODUCTION | {"JWT_SECRET": "short"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("contactship-api: JWT_SECRET")
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.system
async def test_killed_in_the_middle_of_a_request_a_process_leaves_no_marker(make_stack: StackFactory) -> None:
    stack = make_stack("api")
    request = {"json": {"name": "Ana García", "email": "ana@example.com"}, "headers": {"idempotency-key": "once"}}
    async with (
        httpx.AsyncClient(base_url=stack.api_url, headers={"x-api-key": stack.api_key}, timeout=30) as client,
        await psycopg.AsyncConnection.connect(stack.database_url) as blocker,
    ):
        await blocker.execute("LOCK TABLE lead_events IN ACCESS EXCLUSIVE MODE")
        held = asyncio.create_task(client.post("/api/v1/leads", **request))  # type: ignore[arg-type]
        waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'lead_events'::regclass"

        async def blocked() -> object:
            return await (await blocker.execute(waiting)).fetchone()

        await until(blocked, "the request to be in the middle of it")
        stack.kill9("api")
        with pytest.raises(httpx.TransportError):
            await held
        await blocker.rollback()
        stack.restart("api")
        answer = await client.post("/api/v1/leads", **request)  # type: ignore[arg-type]
        assert answer.status_code == 201, "no lead and no lock are left of the first try"
        assert "idempotent-replayed" not in answer.headers
        replayed = await client.post("/api/v1/leads", **request)  # type: ignore[arg-type]
        assert replayed.headers["idempotent-replayed"] == "true"


@pytest.mark.system
async def test_over_a_real_socket_bodies_have_the_same_limit(make_stack: StackFactory) -> None:
    stack = make_stack("api")
    headers = {"x-api-key": stack.api_key, "content-type": "application/json"}

    async def request(framing: bytes, body: bytes) -> bytes:
        """By hand: a client library would stop when the answer comes before its body is sent."""
        reader, writer = await asyncio.open_connection("127.0.0.1", stack.process("api").port)
        head = b"POST /api/v1/leads HTTP/1.1\r\nHost: api\r\n" + framing
        head += b"".join(f"{name}: {value}\r\n".encode() for name, value in headers.items())
        writer.write(head + b"\r\n" + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        writer.close()
        return answer

    for framing, body in (
        (b"Content-Length: 2000000\r\n", b"x" * 10),
        (b"Transfer-Encoding: chunked\r\n", b"".join(b"10000\r\n" + b"x" * 65_536 + b"\r\n" for _ in range(20))),
    ):
        async with asyncio.timeout(20):
            answer = await request(framing, body)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"problem+json" in answer
