"""What the schemas are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]


def reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def closed(properties: Mapping[str, Any], optional: tuple[str, ...] = (), **more: Any) -> Schema:
    """Closed: what is not listed is neither sent nor taken."""
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
        **more,
    }


def nullable(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


MOMENT: Schema = {"type": "string", "format": "date-time", "pattern": r"Z$"}
TEXT: Schema = {"type": "string"}
CODE: Schema = {"type": "string", "pattern": "^[a-z][a-z0-9_]*$"}
WHO: Schema = {"type": "string", "enum": ["tenant", "operator", "ca", "nobody"]}
COUNT: Schema = {"type": "integer", "minimum": 0}
HEX: Schema = {"type": "string", "pattern": "^[0-9a-f]+$"}
