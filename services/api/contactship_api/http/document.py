"""The finished OpenAPI document: FastAPI's, plus what can be said in one place for every operation."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from contactship_api.http.docs import PROBLEM_SCHEMA

_ID = "01932d5c-89a4-7b6e-9f1a-3a5b7c9d1e2f"
_PARAMETERS = {"sort": "The order; `-` in front turns it round.", "status": "Only those with this status."}
_ACCEPTED = {
    "Location": {"description": "Where the progress can be read.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds to wait before looking.", "schema": {"type": "integer"}},
}
_LATER = {"Retry-After": {"description": "Seconds to wait before trying again.", "schema": {"type": "integer"}}}
_MADE = {"Location": {"description": "The new resource.", "schema": {"type": "string"}}}
_ETAG = {"ETag": {"description": "For `If-Match` and `If-None-Match`.", "schema": {"type": "string"}}}
_HEADERS: dict[str, dict[str, Any]] = {"202": _ACCEPTED, "429": _LATER, "503": _LATER}


def install(app: FastAPI) -> None:
    """Have the application serve this document."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
                tags=app.openapi_tags,
            )
            schemas = made.setdefault("components", {}).setdefault("schemas", {})
            schemas["Problem"] = PROBLEM_SCHEMA
            schemas.pop("HTTPValidationError", None)
            schemas.pop("ValidationError", None)
            for operation in _operations(made):
                _describe_parameters(operation)
                _describe_headers(operation)
                _add_body_example(operation, schemas)
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _operations(made: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for methods in made["paths"].values():
        yield from methods.values()


def _words(name: str) -> str:
    return "".join(f" {c.lower()}" if c.isupper() else c for c in name).replace("_", " ")


def _describe_parameters(operation: dict[str, Any]) -> None:
    """What a filter or an id is for follows from its name; everything else says so itself."""
    for parameter in operation.get("parameters", []):
        if parameter.get("description"):
            continue
        name = parameter["name"]
        if parameter["in"] == "path":
            text = "Whatever is no id of ours is 404."
        else:
            text = _PARAMETERS.get(name, f"Only those with this {_words(name)}.")
        parameter["description"] = text


def _describe_headers(operation: dict[str, Any]) -> None:
    tagged = any(
        p["name"] in ("If-Match", "If-None-Match", "if-match", "if-none-match") for p in operation.get("parameters", [])
    )
    for status, answer in operation["responses"].items():
        headers = dict(_HEADERS.get(status, {}))
        if tagged and status in ("200", "304"):
            headers |= _ETAG
        if status == "201" and "put" not in operation["operationId"]:
            headers |= _MADE if "leads" in operation["tags"] else {}
        if headers and not (status == "503" and "application/json" in answer.get("content", {})):
            answer["headers"] = headers | answer.get("headers", {})


def _schema_of(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    for option in (schema, *schema.get("anyOf", [])):
        if "$ref" in option:
            found: dict[str, Any] = schemas[option["$ref"].rsplit("/", 1)[1]]
            return found
    return schema


def _add_body_example(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """One example a body, put together from those of its fields where the whole has none."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None or "examples" in content:
        return
    schema = _schema_of(content["schema"], schemas)
    if "examples" in schema:
        example = schema["examples"][0]
    else:
        fields = schema.get("properties", {})
        example = {name: field["examples"][0] for name, field in fields.items() if field.get("examples")}
        example |= {
            n: _ID for n in schema.get("required", []) if n not in example and fields[n].get("format") == "uuid"
        }
    content["examples"] = {"example": {"value": example}}
