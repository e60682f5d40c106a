"""A JSON Schema as rows of a table: one a member, those of objects within it by dotted names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cli.reference.markdown import prose

Schema = Mapping[str, Any]
Row = tuple[str, str, str, str]  # member, kind of value, whether it may be left out, what it means
LONGEST_ENUM = 12

BOUNDS: Mapping[str, str] = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} of them",
    "maxItems": "at most {} of them",
    "default": "default {}",
}


def rows(schema: Schema, prefix: str = "") -> Iterator[Row]:
    required = schema.get("required", ())
    for name, member in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        yield f"`{path}`", kind(member), "" if name in required else "optional", _meaning(member)
        yield from rows(_inside(member), f"{path}[]." if _is_list(member) else f"{path}.")


def kind(schema: Schema) -> str:
    if "$ref" in schema:
        return link(schema)
    if "const" in schema:
        return f"`{schema['const']}`"
    if choices := schema.get("oneOf") or schema.get("anyOf"):
        return " or ".join(dict.fromkeys(kind(choice) for choice in choices))
    if "enum" in schema and len(schema["enum"]) <= LONGEST_ENUM:
        return ", ".join("null" if value is None else f"`{value}`" for value in schema["enum"])
    if _is_list(schema):
        return f"list of {kind(schema.get('items', {}))}"
    types = schema.get("type", "anything")
    words = " or ".join(types) if isinstance(types, list) else str(types)
    return words.replace("string", str(schema.get("format", "string")))


def link(schema: Schema | None) -> str:
    """A reference to another schema leads there."""
    if schema is None:
        return ""
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    return f"[{name}](#{name.lower()})" if name else kind(schema)


def _meaning(schema: Schema) -> str:
    bounds = [words.format(schema[key]) for key, words in BOUNDS.items() if key in schema]
    return " ".join(part for part in (prose(schema.get("description", "")), "; ".join(bounds)) if part)


def _inside(schema: Schema) -> Schema:
    """The object that it is, or may be, or is a list of."""
    for choice in (*schema.get("oneOf", ()), *schema.get("anyOf", ())):
        if "properties" in choice:
            return dict(choice)
    return dict(schema.get("items", schema)) if _is_list(schema) else schema


def _is_list(schema: Schema) -> bool:
    types = schema.get("type", ())
    return "array" in (types if isinstance(types, list) else [types])
