"""The documentation says what is there: links, commands, endpoints, settings, snippets."""

import ast
import importlib
import json
import re
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

from contactship_api.app import create_app
from contactship_api.http.aliases import API, canonical
from contactship_common.classification.categories import load_categories
from contactship_common.settings import ApiSettings, CoreSettings, SyncSettings
from contactship_sync_worker.sources.http import SourceHttp
from contactship_sync_worker.sources.registry import build_sources

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])

# Capitals in backticks that are no settings: values, SQL, and variables of other programs.
NO_SETTINGS = {
    "PASSWORD_RESET", "TX_CONFIRMATION", "IDENTITY_VERIFICATION", "LOGIN_2FA", "SALES_AGENT", "ON_CONFLICT",
    "OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_RESOURCE_ATTRIBUTES", "IN_PROGRESS", "DEFAULT_PRICES",
    "CONTACTSHIP_HELM", "CONTACTSHIP_PROMTOOL", "KEDA_DATABASE_URL",
    "RAILWAY_DOCKERFILE_PATH", "RAILWAY_DEPLOYMENT_DRAINING_SECONDS",
}  # fmt: skip

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_ENDPOINT = re.compile(r"\b(GET|POST|PUT|PATCH|DELETE) (/[\w/{}.-]*)")
_SETTING = re.compile(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(?:=[^`]*)?`")
_QUOTED_FROM = re.compile(r"^ *From `([^`]+)`:\n\n( *)```python\n(.*?)^\2```", re.DOTALL | re.MULTILINE)


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, language: str) -> list[str]:
    return [textwrap.dedent(body) for _, name, body in _FENCE.findall(text_of(page)) if name == language]


def prose(page: Path) -> str:
    """The page without its code blocks."""
    return _FENCE.sub("", text_of(page))


@cache
def anchors(page: Path) -> frozenset[str]:
    """Headings as GitHub names them, and explicit ones."""
    found: list[str] = re.findall(r'<a id="([^"]+)"', text_of(page))
    for heading in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        found.append(re.sub(r"[^\w\- ]", "", plain).strip().replace(" ", "-"))
    return frozenset(found)


def dangling(target: str, page: Path) -> bool:
    """Whether a relative link leads nowhere."""
    path, _, anchor = unquote(target).partition("#")
    there = (page.parent / path).resolve() if path else page
    if not there.exists():
        return True
    return bool(anchor) and there.suffix == ".md" and anchor not in anchors(there)


@each_page
def test_every_link_and_anchor_leads_somewhere(page: Path) -> None:
    links = [link for link in _LINK.findall(prose(page)) if not re.match(r"[a-z]+:", link)]
    assert [link for link in links if dangling(link, page)] == []


def test_every_page_can_be_reached_from_the_index() -> None:
    seen: set[Path] = set()
    waiting = [ROOT / "docs/README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen:
            continue
        seen.add(page)
        targets = [(page.parent / link.partition("#")[0]).resolve() for link in _LINK.findall(prose(page))]
        waiting += [target for target in targets if target.suffix == ".md" and target.exists()]
    left = [str(page.relative_to(ROOT)) for page in PAGES if page not in seen]
    assert left == [], "link them from docs/README.md"


def test_every_decision_is_in_its_index() -> None:
    listed = set(re.findall(r"\((\d{4}-[^)]+\.md)\)", text_of(ROOT / "docs/decisions/README.md")))
    assert {path.name for path in (ROOT / "docs/decisions").glob("0*.md")} == listed


def test_alerts_and_dashboards_link_to_entries_that_are_there() -> None:
    for file in (ROOT / "deploy").rglob("*"):
        if file.suffix in {".yaml", ".yml", ".json", ".tpl"}:
            for path, anchor in re.findall(r"(docs/[\w/.-]+\.md)#([\w-]+)", text_of(file)):
                assert not dangling(f"{path}#{anchor}", ROOT / "README.md"), f"{file.name}: {path}#{anchor}"


@each_page
def test_every_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", text_of(ROOT / "Makefile"), re.MULTILINE))
    named: list[str] = []
    # In code only: "make" is an English word as well.
    codes = [*re.findall(r"`([^`\n]+)`", prose(page)), *(line for b in blocks(page, "sh") for line in b.splitlines())]
    for code in codes:
        if found := re.match(r"(?:[A-Z_]+=\S+ )*make((?: [a-z][a-z-]*(?!\S))+)", code):
            named += found[1].split()
    assert set(named) <= targets


@cache
def operations() -> frozenset[tuple[str, str]]:
    """Method and path of every operation, with `{}` for what varies."""
    core = CoreSettings(database_url="postgresql://nobody@127.0.0.1:1/none", redis_url="redis://127.0.0.1:1/0")
    document = create_app(core, ApiSettings()).openapi()
    return frozenset((method.upper(), shape(path)) for path, methods in document["paths"].items() for method in methods)


def shape(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", path).rstrip(".")


@each_page
def test_every_endpoint_that_is_named_exists(page: Path) -> None:
    unknown = []
    for method, path in _ENDPOINT.findall(text_of(page)):
        routed = shape(canonical(method, path))
        if not {(method, routed), (method, API + routed)} & operations():
            unknown.append(f"{method} {path}")
    assert unknown == []


@each_page
def test_every_setting_that_is_named_exists(page: Path) -> None:
    manual = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", text_of(ROOT / "docs/reference/configuration.md")))
    assert set(_SETTING.findall(prose(page))) - manual - NO_SETTINGS == set()


@each_page
def test_every_json_block_parses(page: Path) -> None:
    for block in blocks(page, "json"):
        json.loads(block)


def _quotations() -> Iterator[tuple[Path, str, str]]:
    for page in PAGES:
        for path, _, body in _QUOTED_FROM.findall(text_of(page)):
            yield page, path, body


def test_what_is_quoted_from_a_file_stands_in_that_file() -> None:
    """Apart from how far it is indented: blocks are kept as the formatter wants them."""
    found = list(_quotations())
    assert len(found) >= 10
    for page, path, body in found:
        source = [line.strip() for line in text_of(ROOT / path).splitlines()]
        quoted = [line.strip() for line in body.strip().splitlines()]
        there = any(source[at : at + len(quoted)] == quoted for at in range(len(source)))
        assert there, f"{page.name} quotes what is not in {path}:\n{body}"


@each_page
def test_python_blocks_compile_and_import_what_exists(page: Path) -> None:
    quoted = {textwrap.dedent(body) for other, _, body in _quotations() if other == page}
    for block in blocks(page, "python"):
        if block in quoted:
            continue
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("contactship_"):
                module = importlib.import_module(str(node.module))
                assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


@each_page
def test_every_path_in_the_repository_that_is_named_exists(page: Path) -> None:
    named = re.findall(r"`((?:services|libs|tests|deploy|bench|docs)/[\w./-]+(?:::\w+)?)`", prose(page))
    missing = []
    for name in named:
        path, _, test = name.partition("::")
        written_by_running = path == "bench/RESULTS.md"
        there = (ROOT / path).exists() and (not test or f"def {test}(" in text_of(ROOT / path))
        if not there and not written_by_running:
            missing.append(name)
    assert missing == []


def test_every_reason_why_a_task_ends_or_waits_is_explained() -> None:
    """The codes in the sources of all workers against the page that explains them."""
    told = set(re.findall(r"`([a-z][a-z_]+)`", text_of(ROOT / "docs/reference/task-errors.md")))
    raised: set[str] = set()
    reasons = {"Permanent", "Transient", "RetryLater", "Again", "GivenUp", "NotUnderstood", "_TryAgain", "Rule"}
    for file in [*ROOT.glob("services/*/contactship_*/**/*.py"), *ROOT.glob("libs/common/contactship_common/**/*.py")]:
        for node in ast.walk(ast.parse(text_of(file))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in reasons:
                place = 2 if node.func.id == "Rule" else 0
                if len(node.args) > place and isinstance(code := node.args[place], ast.Constant):
                    raised.add(str(code.value))
    assert "ai_refused" in raised
    assert raised - told == set()


def test_the_example_of_a_source_without_code_is_a_setting_that_is_accepted() -> None:
    (example,) = blocks(ROOT / "docs/how-to/add-a-source.md", "json")
    settings = SyncSettings(sync_sources=json.loads(example))
    assert set(build_sources(settings, SourceHttp(settings))) == {"randomuser", "crm"}


def test_the_example_of_categories_can_be_used(tmp_path: Path) -> None:
    (example,) = blocks(ROOT / "docs/how-to/use-your-own-categories.md", "yaml")
    file = tmp_path / "categories.yaml"
    file.write_text(example)
    assert [category.name for category in load_categories(str(file))] == ["vehicle", "rentalPeriod"]
