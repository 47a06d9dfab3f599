"""A Pydantic model's JSON Schema in the subset that each vendor's structured output understands."""

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

_GEMINI_KEPT = (
    "description", "enum", "format", "maxItems", "minItems", "maxLength", "minLength", "maximum", "minimum", "pattern",
)  # fmt: skip
_GEMINI_FORMATS = {"date-time", "enum", "int32", "int64", "float", "double"}
_OPENAI_KEPT = (
    "enum", "pattern", "multipleOf", "maximum", "minimum", "exclusiveMaximum", "exclusiveMinimum", "minItems",
    "maxItems",
)  # fmt: skip
_OPENAI_FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}


@lru_cache(maxsize=64)
def openai_schema(model: type[BaseModel]) -> Schema:
    """Strict mode: every property required, nothing extra; string lengths are unknown to it and go into words."""
    return _walk(model.model_json_schema(), _openai_node)


@lru_cache(maxsize=64)
def gemini_schema(model: type[BaseModel]) -> Schema:
    """OpenAPI-like: upper-case types, `nullable`, no `additionalProperties`, fields in their declared order."""
    return _walk(model.model_json_schema(), _gemini_node)


@lru_cache(maxsize=64)
def schema_in_words(model: type[BaseModel]) -> str:
    """What to tell a model behind an endpoint that takes no schema."""
    schema = json.dumps(_walk(model.model_json_schema(), _plain_node), ensure_ascii=False)
    return f"Answer with one JSON object and nothing else, no Markdown. It must satisfy this JSON Schema:\n{schema}"


def _walk(root: Schema, render: Callable[[Schema, Schema, list[Schema]], Schema]) -> Schema:
    """Render `root` bottom-up with references resolved, so that every vendor sees one self-contained tree.

    Raises:
        ValueError: for a recursive model, which Gemini cannot express.
    """
    definitions: Schema = root.get("$defs", {})

    def visit(node: Schema, seen: tuple[str, ...]) -> Schema:
        if "$ref" in node:
            name = node["$ref"].rsplit("/", 1)[-1]
            if name in seen:
                raise ValueError(f"{name} refers to itself; a model's answer must be a finite tree")
            return visit({**definitions[name], **{k: v for k, v in node.items() if k != "$ref"}}, (*seen, name))
        if len(node.get("allOf", [])) == 1:
            return visit({**node["allOf"][0], **{k: v for k, v in node.items() if k != "allOf"}}, seen)
        properties = {name: visit(child, seen) for name, child in node.get("properties", {}).items()}
        options = [visit(child, seen) for child in node.get("anyOf") or node.get("oneOf") or []]
        children: Schema = {"properties": properties} if "properties" in node else {}
        if isinstance(node.get("items"), dict):
            children["items"] = visit(node["items"], seen)
        flat = {"enum": [node["const"]], **node} if "const" in node else node
        return render(flat, children, options)

    return visit(root, ())


def _openai_node(node: Schema, children: Schema, options: list[Schema]) -> Schema:
    out: Schema = {key: node[key] for key in _OPENAI_KEPT if key in node}
    if node.get("format") in _OPENAI_FORMATS:
        out["format"] = node["format"]
    description = " ".join(part for part in (node.get("description"), _length_in_words(node)) if part)
    if description:
        out["description"] = description
    if options:
        return out | {"anyOf": options}
    if "type" in node:
        out["type"] = node["type"]
    if node.get("type") == "object":
        children.setdefault("properties", {})
        out |= {"additionalProperties": False, "required": list(children["properties"])}
    return out | children


def _gemini_node(node: Schema, children: Schema, options: list[Schema]) -> Schema:
    out: Schema = {key: node[key] for key in _GEMINI_KEPT if key in node}
    if out.get("format") not in _GEMINI_FORMATS:
        out.pop("format", None)
    if options:
        real = [option for option in options if option.get("type") != "NULL"]
        nullable = {"nullable": True} if len(real) < len(options) else {}
        return {**real[0], **out, **nullable} if len(real) == 1 else {**out, "anyOf": real, **nullable}
    kind = node.get("type") or ("string" if "enum" in node else "object")
    out["type"] = kind.upper()
    if kind == "object" and children.get("properties"):
        names = list(children["properties"])
        out |= {"required": names, "propertyOrdering": names}
    return out | children


def _plain_node(node: Schema, children: Schema, options: list[Schema]) -> Schema:
    dropped = ("title", "$defs", "default", "const", "properties", "items", "anyOf", "oneOf", "allOf", "discriminator")
    out = {key: value for key, value in node.items() if key not in dropped} | children
    return out | {"anyOf": options} if options else out


def _length_in_words(node: Schema) -> str:
    low, high = node.get("minLength"), node.get("maxLength")
    if low is not None and high is not None:
        return f"({low} to {high} characters)"
    if high is not None:
        return f"(at most {high} characters)"
    return f"(at least {low} characters)" if low else ""
