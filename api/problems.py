"""Problem documents (RFC 9457): the one way in which the API says no.

    {"type": "/problems/has_port", "title": …, "status": 422, "detail": …, "code": "has_port", "who": "tenant", …}

`type` is a reference that this server answers itself. A problem is made from a code of `api.catalogue` and from
nothing else, so no undocumented code can leave the process.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from typing import Any, cast

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute
from starlette.types import ExceptionHandler

from api.catalogue import CATALOGUE, ProblemType
from api.routing import read_only
from core.errors import NameplateError

MEDIA_TYPE = "application/problem+json"
RESERVED_MEMBERS = frozenset({"type", "title", "status", "detail", "code", "who"})
# What an error of ours may carry besides code and message, and the problem then shows: the member of the body at fault
# (a JSON Pointer, RFC 6901), or the query parameter.
ERROR_MEMBERS = ("pointer", "parameter")
REALM = "nameplate"
ADMIN_SCOPE = "nameplate:admin"  # of a token (RFC 8693 section 4.2) that may do the operator's own things

log = structlog.get_logger(__name__)


class Problem(NameplateError):
    """Raise it anywhere below the API's application.

    `detail`: a sentence about this occurrence; without it, the catalogue's meaning. `members`: further members of the
    document, JSON values (`pointer`, `errors`, …). `retry_after`: seconds. Raises ValueError for a code that the
    catalogue does not have and for a member that RFC 9457 or this API has already.
    """

    def __init__(
        self,
        code: str,
        detail: str | None = None,
        *,
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        kind = CATALOGUE.get(code)
        if kind is None:
            raise ValueError(f"{code!r} is not in the catalogue of problems")
        if taken := RESERVED_MEMBERS & members.keys():
            raise ValueError(f"{sorted(taken)} of a problem cannot be replaced")
        super().__init__(code, detail or kind.meaning)
        self.kind = kind
        self.members = members
        self.headers = {**_headers(code, kind, retry_after), **(headers or {})}

    @classmethod
    def of(cls, error: NameplateError, **members: Any) -> Problem:
        """The problem for an error of ours, with its ERROR_MEMBERS and `retry_after` if it has them.

        Raises ValueError if the catalogue does not have its code.
        """
        if isinstance(error, cls):
            return error
        carried = {name: value for name in ERROR_MEMBERS if (value := getattr(error, name, None)) is not None}
        retry_after = getattr(error, "retry_after", None)
        return cls(error.code, error.message, retry_after=retry_after, **{**carried, **members})

    def document(self) -> dict[str, Any]:
        return {
            "type": f"/problems/{self.code}",
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.message,
            "code": self.code,
            "who": self.kind.who,
            **self.members,
        }

    def response(self) -> Response:
        # ASCII only: a detail or member with an unpaired surrogate must not break the answer.
        body = json.dumps(self.document(), separators=(",", ":")).encode("ascii")
        return Response(body, self.kind.status, {"cache-control": "no-store", **self.headers}, MEDIA_TYPE)


def _headers(code: str, kind: ProblemType, retry_after: int | None) -> dict[str, str]:
    headers = {}
    if retry_after := retry_after or kind.retry_after:
        headers["retry-after"] = str(retry_after)
    if kind.status == 401:
        # RFC 6750 section 3.1: no error code for a request without any credentials.
        invalid = f', error="invalid_token", error_description="{kind.title}"'
        headers["www-authenticate"] = f'Bearer realm="{REALM}"' + ("" if code == "token_missing" else invalid)
    elif code == "admin_only":
        headers["www-authenticate"] = f'Bearer realm="{REALM}", error="insufficient_scope", scope="{ADMIN_SCOPE}"'
    return headers


_CODE_BY_STATUS: Mapping[int, str] = {
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
    429: "too_many_requests",
}


async def _on_error_of_ours(_request: Request, error: Exception) -> Response:
    ours = cast(NameplateError, error)
    if ours.code not in CATALOGUE:
        raise error  # not meant for clients: a fault
    return Problem.of(ours).response()


async def _on_http_exception(_request: Request, error: Exception) -> Response:
    """What Starlette raises itself. Its headers (Allow) stay, its words do not."""
    refusal = cast(HTTPException, error)
    code = _CODE_BY_STATUS.get(refusal.status_code, "bad_request" if refusal.status_code < 500 else "internal_error")
    return Problem(code, headers=refusal.headers).response()


async def _on_disconnect(_request: Request, _error: Exception) -> Response:
    """Nobody reads it, and it is no fault of ours, so it must not be logged as one."""
    return Problem("bad_request").response()


async def _on_fault(_request: Request, error: Exception) -> Response:
    """A fault of ours. The log gets it with the request's id, which the client has as a header; the client nothing."""
    log.error("unhandled_error", error=type(error).__name__, exc_info=error)
    return Problem("internal_error").response()


def exception_handlers() -> dict[Any, ExceptionHandler]:
    """For `Starlette(exception_handlers=…)`."""
    return {
        NameplateError: _on_error_of_ours,
        HTTPException: _on_http_exception,
        ClientDisconnect: _on_disconnect,
        Exception: _on_fault,
    }


def _entry(code: str, kind: ProblemType) -> dict[str, Any]:
    return {
        "type": f"/problems/{code}",
        "code": code,
        "status": kind.status,
        "title": kind.title,
        "who": kind.who,
        "meaning": kind.meaning,
    }


async def _list(request: Request) -> Response:
    entries = [_entry(code, kind) for code, kind in CATALOGUE.items()]
    return _page(request, entries) or JSONResponse({"problems": entries})


async def _show(request: Request) -> Response:
    code = request.path_params["code"]
    if code not in CATALOGUE:
        raise Problem("not_found", "There is no problem with this code.")
    entry = _entry(code, CATALOGUE[code])
    return _page(request, [entry]) or JSONResponse(entry)


def _page(request: Request, entries: list[dict[str, Any]]) -> Response | None:
    """The same for a person who followed the link with a browser."""
    if "text/html" not in request.headers.get("accept", ""):
        return None
    names = ("code", "status", "title", "who", "meaning")
    head = "".join(f"<th>{name}" for name in names)
    rows = "".join("<tr>" + "".join(f"<td>{html.escape(str(entry[name]))}" for name in names) for entry in entries)
    return HTMLResponse(f"<!doctype html><html lang=en><title>Problems</title><table><tr>{head}{rows}</table></html>")


def problem_routes() -> list[BaseRoute]:
    """`/problems` and `/problems/{code}`, open to everybody; at the root of the server, as `type` says."""
    return [read_only("/problems", _list), read_only("/problems/{code}", _show)]
