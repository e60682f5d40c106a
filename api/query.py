"""Query strings, taken strictly: a misspelt parameter is an error, not a different answer."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from urllib.parse import parse_qsl

from api.body import shown
from core.errors import NameplateError

MAX_QUERY = 2048


class QueryError(NameplateError):
    """A refused query. `parameter`: the one at fault. Codes: unknown_parameter, invalid_parameter, invalid_cursor."""

    def __init__(self, code: str, message: str, parameter: str | None = None) -> None:
        super().__init__(code, message)
        self.parameter = parameter


def parse_query(raw: bytes, allowed: Collection[str] = ()) -> Mapping[str, str]:
    """The parameters, each given at most once. Raises QueryError only."""
    if len(raw) > MAX_QUERY:
        raise QueryError("invalid_parameter", f"The query may have at most {MAX_QUERY} bytes.")
    found: dict[str, str] = {}
    for name, value in parse_qsl(raw.decode("latin-1"), keep_blank_values=True):
        if name not in allowed:
            raise QueryError("unknown_parameter", f"There is no query parameter {shown(name)} here.", name[:64])
        if name in found:
            raise QueryError("invalid_parameter", f"The query parameter {shown(name)} is given twice.", name)
        found[name] = value
    return found


def parse_choice(parameters: Mapping[str, str], name: str, choices: Collection[str]) -> str | None:
    """Raises QueryError."""
    value = parameters.get(name)
    if value is not None and value not in choices:
        raise QueryError("invalid_parameter", f"{name} must be one of {', '.join(choices)}.", name)
    return value


def parse_count(parameters: Mapping[str, str], name: str, default: int, most: int) -> int:
    """A whole number from 1 to `most`. Raises QueryError."""
    value = parameters.get(name)
    if value is None:
        return default
    if not (value.isascii() and value.isdecimal() and len(value) <= len(str(most)) and 1 <= int(value) <= most):
        raise QueryError("invalid_parameter", f"{name} must be a whole number from 1 to {most}.", name)
    return int(value)
