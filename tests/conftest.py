"""Fixtures of the system tests: real processes, and vendors that are real HTTP servers."""

import uuid
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest
from system_testkit import FAST, Scene, SceneFactory, VendorProcess
from vendors.gemini_server import GeminiServer
from vendors.openai_server import OpenAIServer

from contactship_devstack import valkey as valkey_server
from contactship_devstack.guard import Guard
from contactship_devstack.processes import Fork
from contactship_devstack.stack import Stack
from contactship_devstack.template import TemplateDatabase, on_server
from contactship_devstack.testing import StackFactory


@pytest.fixture(scope="module")
def _vendors() -> Iterator[tuple[OpenAIServer, GeminiServer]]:
    with OpenAIServer() as openai, GeminiServer() as gemini:
        yield openai, gemini


@pytest.fixture
def openai(_vendors: tuple[OpenAIServer, GeminiServer]) -> Iterator[OpenAIServer]:
    """Answers validly until a test says otherwise."""
    yield _vendors[0]
    _vendors[0].reset()
    _vendors[0].latency = 0.0


@pytest.fixture
def gemini(_vendors: tuple[OpenAIServer, GeminiServer]) -> Iterator[GeminiServer]:
    yield _vendors[1]
    _vendors[1].reset()
    _vendors[1].latency = 0.0


@pytest.fixture(scope="module")
def vendor_env(_vendors: tuple[OpenAIServer, GeminiServer]) -> dict[str, str]:
    """Settings with which both vendors would be asked; AI_PROVIDERS chooses."""
    openai, gemini = _vendors
    return {
        "AI_PROVIDERS": "openai",
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": openai.base_url,
        "GEMINI_API_KEY": "g-test",
        "GEMINI_BASE_URL": gemini.base_url,
        "AI_TIMEOUT": "20",
    }


@pytest.fixture
def make_scene(make_stack: StackFactory, vendor_env: dict[str, str]) -> Iterator[SceneFactory]:
    with ExitStack() as cleanup:

        def make(*kinds: str, env: dict[str, str] | None = None, own_postgres: bool = False, **counts: int) -> Scene:
            settings = FAST | vendor_env | (env or {})
            scene = Scene(make_stack(*kinds, env=settings, own_postgres=own_postgres, **counts))
            cleanup.callback(scene.close)
            return scene

        yield make


@pytest.fixture(scope="module")
def shared_scene(
    request: pytest.FixtureRequest,
    process_guard: Guard,
    postgres_admin: psycopg.Connection,
    postgres_url: str,
    template_database: TemplateDatabase,
    vendor_env: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
    start_by: Fork | None,
) -> Iterator[Scene]:
    """API, scheduler and AI worker of a module whose tests leave them well; the module's ENV adds settings."""
    name = f"test_{uuid.uuid4().hex[:20]}"
    postgres_admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template_database.name}"'.encode())
    with valkey_server.temporary_server(process_guard) as valkey:
        stack = Stack(
            database_url=on_server(postgres_url, name),
            redis_url=valkey.url,
            folder=tmp_path_factory.mktemp("stack"),
            env=FAST | vendor_env | getattr(request.module, "ENV", {}),
            valkey=valkey,
            guard=process_guard,
            fork=start_by,
        )
        with stack:
            stack.start("api", "scheduler", "ai_worker")
            scene = Scene(stack)
            yield scene
            scene.close()
    postgres_admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())


@pytest.fixture
def scene(request: pytest.FixtureRequest, shared_scene: Scene) -> Iterator[Scene]:
    """The module's scene; whatever the test did, nothing may be lost, held or stuck afterwards."""
    shared_scene.accepted.clear()
    yield shared_scene
    shared_scene.until_quiet()
    shared_scene.assert_nothing_was_lost()


@pytest.fixture
def slow_vendor(process_guard: Guard) -> Iterator[VendorProcess]:
    """An OpenAI in a process of its own whose answers take a second."""
    with VendorProcess(process_guard, latency=1.0) as vendor:
        yield vendor
