"""Names, older names, defaults and refusals of the settings."""

import os

import pytest
from pydantic import ValidationError

from contactship_common.settings import AISettings, ApiSettings, CoreSettings, Environment, WorkerSettings, explain
from contactship_common.settings.core import IGNORED_NAMES, ignored_names_set

GOOD_SECRET = "k" * 40


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name not in ("PATH", "HOME", "PYTEST_CURRENT_TEST"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("group", "name", "value", "field", "expected"),
    [
        (CoreSettings, "NODE_ENV", "production", "environment", Environment.PRODUCTION),
        (CoreSettings, "CELERY_BROKER_URL", "redis://broker/1", "broker_url", "redis://broker/1"),
        (ApiSettings, "APP_PORT", "8000", "port", 8000),
        (ApiSettings, "ALLOWED_ORIGINS", "https://a.example, https://b.example", "cors_origin",
         ["https://a.example", "https://b.example"]),
        (AISettings, "MAX_RETRIES", "7", "ai_max_retries", 7),
        (AISettings, "AI_PROVIDER", "local", "ai_providers", ("local",)),
    ],
)  # fmt: skip
def test_older_names_still_work(
    monkeypatch: pytest.MonkeyPatch, group: type, name: str, value: str, field: str, expected: object
) -> None:
    monkeypatch.setenv(name, value)
    assert getattr(group(), field) == expected


def test_the_documented_name_wins_over_an_older_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "3001")
    monkeypatch.setenv("APP_PORT", "3002")
    assert ApiSettings().port == 3001


@pytest.mark.parametrize("group", [CoreSettings, ApiSettings, AISettings, WorkerSettings])
def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch, group: type) -> None:
    defaults = group()
    for field in group.model_fields.values():
        for name in field.validation_alias.choices:
            monkeypatch.setenv(name, "")
    assert group() == defaults


def test_the_database_is_built_from_its_parts_and_the_url_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HOST": "db", "PORT": "5433", "USER": "me", "PASSWORD": "p@ss/word", "DB": "crm"}.items():
        monkeypatch.setenv(f"POSTGRES_{name}", value)
    assert CoreSettings().database_url == "postgresql://me:p%40ss%2Fword@db:5433/crm"
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/crm")
    assert CoreSettings().database_url == "postgresql://elsewhere/crm"


def test_redis_is_built_from_its_parts_and_is_the_broker_unless_another_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REDIS_HOST", "cache")
    monkeypatch.setenv("REDIS_PASSWORD", "p@ss")
    monkeypatch.setenv("REDIS_DB", "2")
    assert CoreSettings().redis_url == CoreSettings().broker_url == "redis://:p%40ss@cache:6379/2"
    monkeypatch.setenv("BULLMQ_REDIS_HOST", "queue")
    assert CoreSettings().broker_url == "redis://queue:6379/0"
    monkeypatch.setenv("BROKER_URL", "rediss://secure/0")
    assert CoreSettings().broker_url == "rediss://secure/0"


@pytest.mark.parametrize(
    ("text", "seconds"), [("1h", 3_600), ("15m", 900), ("30s", 30), ("7d", 604_800), ("3600", 3_600), (" 2 h ", 7_200)]
)
def test_durations_are_read_as_people_write_them(monkeypatch: pytest.MonkeyPatch, text: str, seconds: int) -> None:
    monkeypatch.setenv("JWT_EXPIRES_IN", text)
    assert ApiSettings().jwt_expires_in == seconds


@pytest.mark.parametrize("text", ["0", "-1", "1w", "soon", "1h30m", "1.5h"])
def test_other_durations_are_refused_by_name(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("JWT_EXPIRES_IN", text)
    with pytest.raises(ValidationError, match="JWT_EXPIRES_IN"):
        ApiSettings()


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({}, "JWT_SECRET"),
        ({"JWT_SECRET": "short"}, "JWT_SECRET"),
        ({"JWT_SECRET": "contactship-development-secret-never-use-in-production"}, "JWT_SECRET"),
        ({"JWT_SECRET": GOOD_SECRET, "API_SECRET_KEY": "secret123"}, "API_SECRET_KEY"),
        ({"JWT_SECRET": GOOD_SECRET, "SUPER_ADMIN_PASSWORD": "admin123"}, "SUPER_ADMIN_PASSWORD"),
    ],
)
def test_production_refuses_unsafe_secrets_by_name_and_never_shows_them(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], named: str
) -> None:
    for name, value in {"ENVIRONMENT": "production", **environment}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=named) as caught:
        ApiSettings()
    for value in environment.values():
        assert value not in str(caught.value)


def test_production_with_good_secrets_starts_and_makes_no_default_admin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT", "production")
    monkeypatch.setenv("JWT_SECRET", GOOD_SECRET)
    assert ApiSettings().first_admin() is None


def test_names_without_a_meaning_are_found_and_harmless(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in IGNORED_NAMES:
        monkeypatch.setenv(name, "x")
    CoreSettings()
    assert ignored_names_set() == list(IGNORED_NAMES)


@pytest.mark.parametrize("name", ["TASK_LEASE", "DB_POOL_SIZE", "WORKER_CONCURRENCY"])
def test_a_number_that_makes_no_sense_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "-1")
    group = WorkerSettings if name.startswith("WORKER") else CoreSettings
    with pytest.raises(ValidationError, match=name):
        group()


@pytest.mark.parametrize(
    ("given", "level"), [("debug", "DEBUG"), ("verbose", "DEBUG"), ("log", "INFO"), (" Warn ", "WARNING")]
)
def test_log_levels_are_understood_in_any_case_and_by_older_words(
    monkeypatch: pytest.MonkeyPatch, given: str, level: str
) -> None:
    monkeypatch.setenv("LOG_LEVEL", given)
    assert CoreSettings().log_level == level


def test_an_unknown_log_level_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "loud")
    with pytest.raises(ValueError) as raised:
        CoreSettings()
    assert "LOG_LEVEL" in explain(raised.value)


def test_staging_refuses_the_published_signing_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT", "staging")
    monkeypatch.delenv("JWT_SECRET", raising=False)
    with pytest.raises(ValueError, match="JWT_SECRET must be set when ENVIRONMENT=staging"):
        ApiSettings()
