"""The document is complete: whoever reads it knows every operation, every status and every problem code."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from api_testkit import Api
from jsonschema_rs import Draft202012Validator

PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def document(shared_api: Api) -> dict[str, Any]:
    return shared_api.app.openapi()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_every_operation_has_summary_description_and_tag(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        assert operation["summary"], name
        assert len(operation.get("description", "")) > 5, name
        assert operation["tags"], name


def test_operation_ids_are_unique(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, operation in operations(document)]
    assert len(ids) == len(set(ids))


def test_every_body_has_an_example_that_fits_its_schema(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        for media, content in operation.get("requestBody", {}).get("content", {}).items():
            if not media.endswith("json"):
                continue
            examples = _examples(document, content)
            assert examples, name
            schema = {**content["schema"], "components": document["components"]}
            for example in examples:
                Draft202012Validator(schema).validate(example)


def _examples(document: dict[str, Any], content: dict[str, Any]) -> list[Any]:
    if "examples" in content:
        return [example["value"] for example in content["examples"].values()]
    schema = content["schema"]
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return list(schema.get("examples", []))


def test_every_parameter_is_described(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        for parameter in operation.get("parameters", []):
            assert parameter.get("description"), f"{name} {parameter['name']}"


def test_every_operation_names_the_problems_that_its_kind_implies(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        statuses = set(operation["responses"])
        assert "default" not in statuses, name
        assert statuses & {"200", "201", "202", "204"}, name
        assert "422" in statuses, name
        if operation.get("security"):
            assert {"429", "503"} <= statuses, name
            if {} not in operation["security"]:
                assert "401" in statuses, name
        if "{" in name:
            assert "404" in statuses, name
        if "requestBody" in operation:
            assert {"400", "413", "415"} <= statuses, name
        if any(parameter["name"] == "If-Match" for parameter in operation.get("parameters", [])):
            assert "412" in statuses, name


def test_every_problem_shows_its_codes(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        for status, answer in operation["responses"].items():
            if int(status) < 400 or (status == "503" and "health" in name):
                continue
            content = answer["content"][PROBLEM]
            assert content["schema"] == {"$ref": "#/components/schemas/Problem"}, name
            assert content["examples"], name
            for code, example in content["examples"].items():
                assert example["value"]["code"] == code
                assert example["value"]["status"] == int(status)


def test_frameworks_own_error_shapes_are_gone(document: dict[str, Any]) -> None:
    assert "HTTPValidationError" not in json.dumps(document)


def test_answers_with_headers_of_their_own_document_them(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        if "202" in operation["responses"]:
            assert {"Location", "Retry-After"} <= operation["responses"]["202"].get("headers", {}).keys(), name
        for status in ("429", "503"):
            if status in operation["responses"] and "health" not in name:
                assert "Retry-After" in operation["responses"][status]["headers"], name
