"""Real processes with ENVIRONMENT=production: what they refuse, and that README's "Production" works as written."""

import json
import os
import subprocess
from typing import Any

import httpx
import psycopg
import pytest

from contactship_common.settings import ApiSettings
from contactship_devstack import fork
from contactship_devstack.processes import script
from contactship_devstack.testing import StackFactory

JWT_SECRET = "0123456789abcdef-0123456789abcdef-xyz"
ADMIN, PASSWORD = "you@example.com", "a password for production"
PRODUCTION: dict[str, Any] = {"ENVIRONMENT": "production", "JWT_SECRET": JWT_SECRET, "API_SECRET_KEY": ""}


def run(program: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end with nothing of this process's environment but the way to Python."""
    clean = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **env}
    return fork.run(program, *arguments, env=clean)


WEAK = [
    ("JWT_SECRET", None),
    ("JWT_SECRET", ""),
    ("JWT_SECRET", "contactship-development-secret-never-use-in-production"),
    ("JWT_SECRET", "x" * 31),
    ("JWT_SECRET", " " * 40),
    ("JWT_SECRET_PREVIOUS", "contactship-development-secret-never-use-in-production"),
    ("JWT_SECRET_PREVIOUS", "short"),
    ("API_SECRET_KEY", "secret123"),
    ("API_SECRET_KEY", "my-super-secret-key-123"),
    ("API_SECRET_KEY", "x" * 31),
    ("SUPER_ADMIN_PASSWORD", "admin123"),
    ("SUPER_ADMIN_PASSWORD", "Admin123"),
    ("SUPER_ADMIN_PASSWORD", "secret123"),
    ("SUPER_ADMIN_PASSWORD", "1234567"),
]


def with_value(name: str, value: str | None) -> dict[str, str]:
    env = PRODUCTION | {"SUPER_ADMIN_EMAIL": ADMIN, "SUPER_ADMIN_PASSWORD": PASSWORD, name: value}
    return {name: text for name, text in env.items() if text is not None}


@pytest.mark.parametrize(("name", "value"), WEAK)
def test_a_weak_secret_is_refused_in_production_and_its_variable_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str | None
) -> None:
    for variable in dict(WEAK):
        monkeypatch.delenv(variable, raising=False)
    for variable, text in with_value(name, value).items():
        monkeypatch.setenv(variable, text)
    with pytest.raises(ValueError, match=f"{name} must") as refused:
        ApiSettings()
    assert not (value or "").strip() or str(value) not in str(refused.value)
    monkeypatch.setenv("ENVIRONMENT", "development")
    assert ApiSettings()


@pytest.mark.system
@pytest.mark.parametrize(
    ("name", "value"), [("JWT_SECRET", None), ("API_SECRET_KEY", "secret123"), ("SUPER_ADMIN_PASSWORD", "admin123")]
)
def test_the_api_refuses_to_start_with_a_weak_secret_and_says_so_in_one_line(name: str, value: str | None) -> None:
    ended = run("contactship-api", **with_value(name, value))
    assert ended.returncode == 1
    [line] = (ended.stdout + ended.stderr).splitlines()
    assert line.startswith(f"contactship-api: {name} must")


@pytest.mark.system
def test_all_weak_secrets_are_named_at_once() -> None:
    ended = run(
        "contactship-api", ENVIRONMENT="production", API_SECRET_KEY="secret123", SUPER_ADMIN_PASSWORD="admin123"
    )
    [line] = ended.stderr.splitlines()
    assert [name in line for name in ("JWT_SECRET ", "API_SECRET_KEY", "SUPER_ADMIN_PASSWORD")] == [True] * 3


@pytest.mark.parametrize("name", ["ENVIRONMENT", "NODE_ENV"])
def test_both_names_of_the_environment_mean_production(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for variable in ("ENVIRONMENT", "NODE_ENV", "JWT_SECRET"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv(name, "production")
    with pytest.raises(ValueError, match="JWT_SECRET must"):
        ApiSettings()


@pytest.mark.system
def test_a_misspelt_environment_is_not_taken_for_development() -> None:
    ended = run("contactship-api", ENVIRONMENT="prod")
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert "development" in line


def log_in(url: str, email: str, password: str) -> httpx.Response:
    return httpx.post(f"{url}/api/v1/auth/login", json={"email": email, "password": password}, timeout=10)


@pytest.mark.system
def test_the_readmes_production_section_works_as_written(empty_database_url: str, make_stack: StackFactory) -> None:
    stack = make_stack(env=PRODUCTION)
    stack.env |= {"DATABASE_URL": empty_database_url, "SUPER_ADMIN_EMAIL": ADMIN, "SUPER_ADMIN_PASSWORD": PASSWORD}
    migrate = [script("contactship-migrate")]  # the installed command itself
    assert subprocess.run(migrate, env={**os.environ, **stack.env}, timeout=60, check=False).returncode == 0
    stack.start("api", "scheduler", "ai_worker", "sync_worker", "delivery_worker")
    assert httpx.get(f"{stack.api_url}/health/readiness").json()["status"] == "ok"
    login = log_in(stack.api_url, ADMIN, PASSWORD)
    assert (login.status_code, login.json()["user"]["role"]) == (200, "ADMIN")
    assert "Strict-Transport-Security" in login.headers
    assert log_in(stack.api_url, "admin@contactship.com", "admin123").status_code == 401
    registration = httpx.post(
        f"{stack.api_url}/api/v1/auth/register", json={"email": "me@example.com", "password": PASSWORD}
    )
    assert registration.json()["code"] == "registration_closed"


@pytest.mark.system
def test_without_the_variables_no_admin_is_made_and_the_command_makes_and_resets_one(
    make_stack: StackFactory,
) -> None:
    stack = make_stack("api", env=PRODUCTION)
    events = [json.loads(line) for line in stack.logs("api").splitlines() if line.startswith("{")]
    [missing] = [event for event in events if event["event"] == "admin.missing"]
    assert "SUPER_ADMIN_EMAIL" in missing["hint"]
    assert "contactship-admin" in missing["hint"]
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (0,)

        command = [script("contactship-admin"), " You@Example.com"]  # the installed command itself
        env = {"PATH": os.environ["PATH"], **stack.env, "ADMIN_PASSWORD": PASSWORD}
        made = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert (made.returncode, made.stdout) == (0, f"Created the ADMIN {ADMIN}\n")
        first = log_in(stack.api_url, ADMIN, PASSWORD)
        assert (first.status_code, first.json()["user"]["role"]) == (200, "ADMIN")

        connection.execute("UPDATE users SET role = 'SALES_AGENT', active = false")
        reset = run("contactship-admin", ADMIN, **stack.env, ADMIN_PASSWORD="another password")
        assert (reset.returncode, reset.stdout) == (0, f"Reset the ADMIN {ADMIN}\n")
        assert log_in(stack.api_url, ADMIN, PASSWORD).status_code == 401
        assert log_in(stack.api_url, ADMIN, "another password").json()["user"]["role"] == "ADMIN"
        old = httpx.post(f"{stack.api_url}/api/v1/auth/refresh", json={"refresh_token": first.json()["refresh_token"]})
        assert old.status_code == 401, "a reset ends the logins before it"

        rows = connection.execute(
            "SELECT action, entity_id, data::text FROM audit_logs WHERE actor = 'contactship-admin' ORDER BY id"
        ).fetchall()
        user_id = first.json()["user"]["id"]
        told = '{"role": "ADMIN"}'
        assert rows == [("user.create", user_id, told), ("user.reset", user_id, told)]


@pytest.mark.system
@pytest.mark.parametrize(
    ("arguments", "env", "told"),
    [
        ([ADMIN], {"ADMIN_PASSWORD": "admin123"}, "ADMIN_PASSWORD"),
        ([ADMIN], {"ADMIN_PASSWORD": "1234567"}, "ADMIN_PASSWORD"),
        (["nobody"], {"ADMIN_PASSWORD": PASSWORD}, "e-mail"),
        ([ADMIN], {"ADMIN_PASSWORD": PASSWORD}, "contactship-migrate"),
        ([ADMIN], {"ADMIN_PASSWORD": PASSWORD, "DATABASE_URL": ""}, "DATABASE_URL"),
        ([ADMIN], {"ADMIN_PASSWORD": PASSWORD, "DATABASE_URL": "postgresql://x@127.0.0.1:1/x"}, "connect"),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong(
    empty_database_url: str, arguments: list[str], env: dict[str, Any], told: str
) -> None:
    ended = run("contactship-admin", *arguments, **({"DATABASE_URL": empty_database_url} | PRODUCTION | env))
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert line.startswith("contactship-admin: ")
    assert told in line
    assert PASSWORD not in line
