"""What every operation of the admin begins with, and what its answers have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.admin.upstreams import Kind, NotThere, Upstreams
from api.auth import Operator
from api.caller import Callers, raw_query
from api.conditions import Condition
from api.identifiers import parse_uuid
from api.problems import Problem
from api.query import parse_query
from core.service import is_name

RESERVED: Mapping[Kind, str] = {"trust": "system"}  # in place of a name it stands for something else


class Admin:
    """`upstreams`: None where the admin API is not offered."""

    def __init__(self, upstreams: Upstreams | None, callers: Callers) -> None:
        self._offered = upstreams
        self._callers = callers

    async def begin(self, request: Request, *, tagged: bool = True) -> tuple[Operator, Upstreams]:
        """Who calls, and what is there. Raises Problem: also for any query parameter.

        `tagged`: what it is about has an entity tag, and so the operation looks at the conditions itself.
        """
        caller = await self._callers.operator(request)
        if not tagged:
            Condition.of(request).check_untagged()
        parse_query(raw_query(request))
        if self._offered is None:
            raise Problem("admin_unavailable")
        return caller, self._offered


def new_name(request: Request, kind: Kind) -> str:
    """The path's name, for something that may be made. Raises Problem."""
    name: str = request.path_params["name"]
    if not is_name(name) or name == RESERVED.get(kind):
        raise Problem("name_invalid")
    return name


def known_name(request: Request, code: str) -> str:
    """The path's name, for something that is there. `code`: of NotThere, which it raises."""
    name: str = request.path_params["name"]
    if not is_name(name):
        raise NotThere(code)
    return name


def tenant_id(request: Request) -> UUID:
    """Raises NotThere for what is no UUID in its one usual spelling."""
    found = parse_uuid(request.path_params["id"])
    if found is None:
        raise NotThere("tenant_not_found")
    return found


def tagged(shown: Mapping[str, Any], tag: str, *, created: bool = False) -> Response:
    return JSONResponse(dict(shown), 201 if created else 200, {"ETag": tag})
