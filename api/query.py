"""Query strings, taken strictly: a misspelt parameter is an error, not a different answer."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from urllib.parse import parse_qsl

from api.body import shown
from api.problems import Problem

MAX_QUERY = 2048
VISIBLE = re.compile(r"[!-~]+")
NO_CONTROL = re.compile(r"[^\x00-\x1f\x7f]+")


def parse_query(raw: bytes, allowed: Collection[str] = ()) -> Mapping[str, str]:
    """The parameters, each given at most once. Raises only Problem."""
    if len(raw) > MAX_QUERY:
        raise Problem("invalid_parameter", f"The query may have at most {MAX_QUERY} bytes.")
    found: dict[str, str] = {}
    for name, value in parse_qsl(raw.decode("latin-1"), keep_blank_values=True):
        if name not in allowed:
            raise Problem("unknown_parameter", f"There is no query parameter {shown(name)} here.", parameter=name[:64])
        if name in found:
            raise Problem("invalid_parameter", f"The query parameter {shown(name)} is given twice.", parameter=name)
        found[name] = value
    return found


def parse_choice(parameters: Mapping[str, str], name: str, choices: Collection[str]) -> str | None:
    """Raises Problem."""
    value = parameters.get(name)
    if value is not None and value not in choices:
        raise Problem("invalid_parameter", f"{name} must be one of {', '.join(choices)}.", parameter=name)
    return value


def parse_count(parameters: Mapping[str, str], name: str, default: int, most: int) -> int:
    """A whole number from 1 to `most`. Raises Problem."""
    value = parameters.get(name)
    if value is None:
        return default
    if not (value.isascii() and value.isdecimal() and len(value) <= len(str(most)) and 1 <= int(value) <= most):
        raise Problem("invalid_parameter", f"{name} must be a whole number from 1 to {most}.", parameter=name)
    return int(value)


def parse_text(parameters: Mapping[str, str], name: str, longest: int, allowed: re.Pattern[str]) -> str:
    """What must be there. `allowed`: VISIBLE or NO_CONTROL. Raises Problem."""
    value = parameters.get(name, "")
    if len(value) > longest or allowed.fullmatch(value) is None:
        what = "visible ASCII characters" if allowed is VISIBLE else "characters, none of control"
        raise Problem("invalid_parameter", f"{name} has 1 to {longest} {what}.", parameter=name)
    return value
