"""Schema-valid answers made from what a request asked for."""

import json
import re
from typing import Any

_IN_WORDS = re.compile(r"(\d+) to (\d+) characters")
_AT_LEAST = re.compile(r"at least (\d+) characters")
_AT_MOST = re.compile(r"at most (\d+) characters")
_FILLER = " según los datos recibidos, respuesta de prueba"


def valid_answer(schema: dict[str, Any] | None, prompt: str) -> str:
    """JSON text that satisfies `schema` and repeats something from the facts in `prompt`; without a schema, the one
    written out in the prompt is used, if there is any."""
    found = schema or _schema_in(prompt) or {"type": "object", "properties": {}}
    return json.dumps(_value(found, found.get("$defs", {}), _fact_in(prompt)), ensure_ascii=False)


def broken_answer(schema: dict[str, Any] | None, prompt: str) -> str:
    """JSON that breaks the schema in every field: too short, out of range, an unknown enum value, a foreign field."""
    found = schema or _schema_in(prompt) or {}
    broken = {name: _wrong(child) for name, child in found.get("properties", {}).items()}
    return json.dumps({**broken, "not_asked_for": "x"})


def _value(schema: dict[str, Any], definitions: dict[str, Any], fact: str) -> Any:
    if "$ref" in schema:
        return _value(definitions[schema["$ref"].rsplit("/", 1)[-1]], definitions, fact)
    if schema.get("enum"):
        return schema["enum"][0]
    if "anyOf" in schema:
        return _value(schema["anyOf"][0], definitions, fact)
    kind = str(schema.get("type", "object")).lower()
    if kind == "object":
        return {name: _value(child, definitions, fact) for name, child in schema.get("properties", {}).items()}
    if kind == "array":
        return [_value(schema.get("items", {"type": "string"}), definitions, fact)] * max(1, _int(schema, "minItems"))
    if kind in {"integer", "number"}:
        low, high = float(schema.get("minimum", 0)), float(schema.get("maximum", schema.get("minimum", 0) + 1))
        return int(low) if kind == "integer" else (low + high) / 2
    return {"boolean": True, "null": None}.get(kind, _text(schema, fact))


def _text(schema: dict[str, Any], fact: str) -> str:
    if schema.get("format") == "date":
        return "2026-01-31"
    if schema.get("format") == "date-time":
        return "2026-01-31T12:00:00Z"
    low, high = _lengths(schema)
    text = f"{fact}:{_FILLER}"
    while len(text) < low:
        text += _FILLER
    # Leave a margin inside the limits, and no blank where it would be trimmed away.
    text = text[:high].strip()
    return text + "." * (low - len(text))


def _lengths(schema: dict[str, Any]) -> tuple[int, int]:
    words = str(schema.get("description", ""))
    low, high = _int(schema, "minLength"), _int(schema, "maxLength") or 10_000
    if both := _IN_WORDS.search(words):
        low, high = max(low, int(both[1])), min(high, int(both[2]))
    if least := _AT_LEAST.search(words):
        low = max(low, int(least[1]))
    if most := _AT_MOST.search(words):
        high = min(high, int(most[1]))
    return low, high


def _int(schema: dict[str, Any], key: str) -> int:
    # The Gemini SDK sends these keys in snake case, which Google's JSON parser takes as well.
    snake = re.sub(r"([A-Z])", lambda found: f"_{found[1].lower()}", key)
    return int(schema.get(key) or schema.get(snake) or 0)


def _wrong(schema: dict[str, Any]) -> Any:
    if schema.get("enum"):
        return "no_such_value"
    return {"string": "x", "integer": "many", "number": 1e9, "boolean": "yes", "array": "none"}.get(
        str(schema.get("type", "")).lower()
    )


def _schema_in(prompt: str) -> dict[str, Any] | None:
    place = prompt.find("JSON Schema:\n")
    return _object_at(prompt, prompt.find("{", place)) if place >= 0 else None


def _fact_in(prompt: str) -> str:
    """The first text in the fenced facts."""
    place = prompt.rfind(">\n{")
    facts = _object_at(prompt, place + 2) if place >= 0 else None
    texts = [value for value in (facts or {}).values() if isinstance(value, str) and value.strip()]
    return texts[0].replace("\n", " ")[:60].strip() if texts else "Sin datos"


def _object_at(text: str, place: int) -> dict[str, Any] | None:
    if place < 0:
        return None
    try:
        found, _ = json.JSONDecoder().raw_decode(text, place)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
