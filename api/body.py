"""Request bodies: read up to a limit, then taken apart strictly.

Total: any bytes give either the members or a Problem. A body is I-JSON (RFC 7493): UTF-8, no duplicate keys, no
unpaired surrogates; so two readers of the same body never understand two different things.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NoReturn

from starlette.requests import Request

from api.problems import Problem

# The largest honest body is a hostname of 1,024 characters, each escaped: 12 KB. The same limit as nginx's buffer
# for large headers times eight; what matters is that it is small.
MAX_BODY = 64 * 1024
# How far a body that is too large is read and thrown away. A client that is cut off while it sends may lose the answer.
MAX_DRAINED = 1024 * 1024
# The deepest honest body has depth 1. Python's parser recurses, so depth is bounded before it is called.
MAX_DEPTH = 16
MAX_NAME_SHOWN = 64

# Matches at every quote, an unclosed string too: no second try, so no quadratic time.
_STRING = re.compile(rb'"(?:[^"\\]+|\\.?)*+"?', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTENT_TYPE = re.compile(
    r"\s*application/json\s*(?:;\s*charset\s*=\s*(?P<quote>\"?)utf-?8(?P=quote)\s*)?;?\s*", re.IGNORECASE
)

_TYPE_NAMES: Mapping[type, str] = {
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    list: "an array",
    dict: "an object",
    type(None): "null",
}


async def read_json(request: Request, fields: Collection[str]) -> Mapping[str, str]:
    """The members of a JSON object that has exactly `fields`, all strings. Raises Problem."""
    check_content_type(request.headers.get("content-type"), request.headers.get("content-encoding"))
    return parse(await read(request), fields)


async def read_object(request: Request, most: int = MAX_BODY) -> Mapping[str, Any]:
    """A JSON object, its members of any kind; its numbers are floats. `most`: bytes. Raises Problem."""
    check_content_type(request.headers.get("content-type"), request.headers.get("content-encoding"))
    value = _load(await read(request, most))
    if not isinstance(value, dict):
        raise Problem("wrong_type", f"The body must be a JSON object, not {type_name(value)}.", pointer="")
    return value


async def read_list(request: Request, field: str, most: int, max_body: int) -> Sequence[Any]:
    """The array that is the only member of a JSON object. `most`: elements; `max_body`: bytes. Raises Problem."""
    check_content_type(request.headers.get("content-type"), request.headers.get("content-encoding"))
    found: list[Any] = members(await read(request, max_body), {field: list})[field]
    if len(found) > most:
        raise Problem(
            "list_too_long", f"The field {shown(field)} may have at most {most} elements.", pointer=f"/{field}"
        )
    return found


async def read_nothing(request: Request) -> None:
    """Accept no body, or what some clients send instead: an empty JSON object. Raises Problem."""
    if raw := await read(request):
        check_content_type(request.headers.get("content-type"), request.headers.get("content-encoding"))
        parse(raw, ())


async def read(
    request: Request, most: int = MAX_BODY, code: str = "body_too_large", drained: int = MAX_DRAINED
) -> bytes:
    """Keeps no more than `most` bytes, reads no more than `drained`. Raises Problem, with `code` for more."""
    kept = bytearray()
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= most:
            kept += chunk
        elif size > drained:
            break
    if size > most:
        raise Problem(code, f"The body may have at most {most} bytes.")
    return bytes(kept)


def check_content_type(content_type: str | None, content_encoding: str | None) -> None:
    """Raises Problem unless it is plain JSON."""
    if content_type is None or _CONTENT_TYPE.fullmatch(content_type) is None:
        raise Problem("unsupported_media_type", "The body must be application/json in UTF-8.")
    if content_encoding is not None and content_encoding.strip().lower() != "identity":
        raise Problem("unsupported_media_type", "The body must not be compressed.")


def parse(raw: bytes, fields: Collection[str]) -> Mapping[str, str]:
    """The members of the object in `raw`, which must be exactly `fields`, all strings. Raises only Problem."""
    return members(raw, dict.fromkeys(fields, str))


def members(
    raw: bytes, fields: Mapping[str, type], optional: Mapping[str, type] = MappingProxyType({})
) -> Mapping[str, Any]:
    """The members of the object in `raw`, which must be exactly `fields`, of these types. Raises only Problem.

    `optional`: those that may be left out, or null, which means the same.
    """
    value = _load(raw)
    if not isinstance(value, dict):
        raise Problem("wrong_type", f"The body must be a JSON object, not {type_name(value)}.", pointer="")
    for name in value:
        if name not in fields and name not in optional:
            raise Problem("unknown_field", f"There is no field {shown(name)} here.", pointer=pointer(name))
    given = {name: kind for name, kind in optional.items() if value.get(name) is not None}
    for name, kind in {**fields, **given}.items():
        if name not in value:
            raise Problem("missing_field", f"The field {shown(name)} is missing.", pointer=pointer(name))
        if type(value[name]) is not kind:
            wanted, found = _TYPE_NAMES[kind], type_name(value[name])
            raise Problem(
                "wrong_type", f"The field {shown(name)} must be {wanted}, not {found}.", pointer=pointer(name)
            )
    return value


def type_name(value: Any) -> str:
    """What JSON calls it."""
    return _TYPE_NAMES[type(value)]


def shown(name: str) -> str:
    """A client's own word, safe to print: quoted, escaped, cut."""
    cut = name[:MAX_NAME_SHOWN]
    return json.dumps(cut) if cut == name else json.dumps(cut + "…")


def pointer(name: str) -> str:
    return "/" + name[:MAX_NAME_SHOWN].replace("~", "~0").replace("/", "~1")


def _load(raw: bytes) -> Any:
    depth = 0
    for bracket in _BRACKET.finditer(_STRING.sub(b"", raw)):
        depth += 1 if bracket[0] in b"[{" else -1
        if depth > MAX_DEPTH:
            _not_json("it is nested too deeply")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        _not_json("it is not UTF-8")
    try:
        return json.loads(text, object_pairs_hook=_members, parse_constant=_no_constant, parse_int=float)
    except json.JSONDecodeError as error:
        _not_json(f"{error.msg.lower()} (line {error.lineno}, column {error.colno})")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, value in pairs:
        _check_text(name)
        _check_text(value)
        if name in made:
            raise Problem("duplicate_field", f"The field {shown(name)} is given twice.", pointer=pointer(name))
        made[name] = value
    return made


def _check_text(value: Any) -> None:
    """Of a member that is an object, its own members are checked already."""
    if isinstance(value, str) and _SURROGATE.search(value):
        _not_json("a string has an unpaired surrogate")
    if isinstance(value, list):
        for element in value:
            _check_text(element)


def _no_constant(name: str) -> NoReturn:
    _not_json(f"{name} is not a JSON number")


def _not_json(why: str) -> NoReturn:
    raise Problem("invalid_json", f"The body is not valid JSON: {why}.")
