"""What the schemas are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from api.catalogue import Who

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


def or_null(schema: Schema) -> Schema:
    """As `nullable`, of what has no type of its own or says what it is made of."""
    return {"oneOf": [{"type": "null"}, schema]}


def array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def page_of(items: Schema) -> Schema:
    return closed({"data": array(items), "nextCursor": nullable(TEXT)})


MOMENT: Schema = {"type": "string", "format": "date-time", "pattern": r"Z$"}
TEXT: Schema = {"type": "string"}
ID: Schema = {"type": "string", "format": "uuid"}
CODE: Schema = {"type": "string", "pattern": "^[a-z][a-z0-9_]*$"}
WHO: Schema = {"type": "string", "enum": list(get_args(Who))}
COUNT: Schema = {"type": "integer", "minimum": 0}
HEX: Schema = {"type": "string", "pattern": "^[0-9a-f]+$"}
OPTIONAL_MOMENT = nullable(MOMENT)
AGE: Schema = {"type": "number", "minimum": 0, "description": "Seconds."}
