"""A page of a list over HTTP: where it begins, and the answer that leads to the next one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.pagination import DEFAULT_LIMIT, MAX_LIMIT
from api.problems import Problem
from api.query import parse_count

PAGING = ("limit", "cursor")

T = TypeVar("T")


def parse_page(given: Mapping[str, str], decode: Callable[[str], T | None]) -> tuple[int, T | None]:
    """How many, and the place after which they begin; None: the front. Raises Problem."""
    limit = parse_count(given, "limit", DEFAULT_LIMIT, MAX_LIMIT)
    if "cursor" not in given:
        return limit, None
    place = decode(given["cursor"])
    if place is None:
        raise Problem("invalid_cursor", "The cursor is not one that this API made.", parameter="cursor")
    return limit, place


def page(request: Request, given: Mapping[str, str], data: Sequence[Any], cursor: str | None) -> Response:
    """`cursor`: of the next page; None: there is none."""
    headers = {}
    if cursor is not None:
        query = urlencode({**given, "cursor": cursor})
        headers["Link"] = f'<{request.scope["path"]}?{query}>; rel="next"'
    return JSONResponse({"data": data, "nextCursor": cursor}, headers=headers)
