"""What stands before every page: whose session it is, and whether a form is really one of ours.

A form is taken when both hold:
 1. it comes from our own origin: Sec-Fetch-Site says so, or else Origin, or else Referer; one of them must be there
 2. it carries the session's token

Whatever goes wrong below is shown as a page, with the words that the REST API has for it, never with a traceback.
"""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator
from functools import wraps

import structlog
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import FormParser, MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response

from api.auth import Operator
from api.body import read
from api.catalogue import CATALOGUE
from api.problems import Problem
from api.routing import Handler
from api.ui.refusals import Refusal, Refused
from api.ui.sessions import Session, Sessions, Visitor, csrf_of, digest_of, is_token
from api.ui.view import View
from core.errors import NameplateError

MAX_FORM = 1024 * 1024  # bytes
MAX_FIELDS = 100
TENANT, OPERATOR = "nameplate", "nameplate-operator"

log = structlog.get_logger(__name__)


class InMemory(MultiPartParser):
    """Nothing of a form reaches a disk: a private key may be in it."""

    spool_max_size = MAX_FORM


class Turned(Exception):
    """The request ends with this response."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


class Guard:
    """`origin`: where browsers reach the pages, as https://domains.example.com."""

    def __init__(self, sessions: Sessions, view: View, origin: str) -> None:
        self._sessions = sessions
        self._view = view
        self._origin = origin
        self._secure = origin.startswith("https://")

    async def tenant(self, request: Request) -> Visitor:
        """Raises Refused (signed_out) and api.service.Unavailable."""
        visitor = await self._visitor(request, operator=False)
        request.state.tenant_id = str(visitor.principal.tenant_id)
        return visitor

    async def watcher(self, request: Request) -> Visitor:
        """A tenant's page that is kept up to date by itself, which is no use of its session."""
        return await self._visitor(request, operator=False, used=False)

    async def operator(self, request: Request) -> Visitor:
        """The same of the platform's own people."""
        return await self._visitor(request, operator=True)

    async def form(self, request: Request, visitor: Visitor) -> FormData:
        """What was filled in. Raises Refused (form_forged, form_unreadable, form_too_large)."""
        if not self._is_ours(request):
            raise Refused("form_forged")
        form = await self._fields(request)
        if not hmac.compare_digest(text(form, "csrf").encode(), visitor.csrf.encode()):
            await form.close()
            raise Refused("form_forged")
        return form

    def sign_in(self, response: Response, token: str, *, operator: bool) -> Response:
        """Without an age: the cookie goes with the browser, the session ends in the database."""
        response.set_cookie(self._cookie(operator), token, path="/", secure=self._secure, httponly=True, samesite="lax")
        return response

    def sign_out(self, response: Response, *, operator: bool) -> Response:
        response.delete_cookie(self._cookie(operator), path="/", secure=self._secure, httponly=True, samesite="lax")
        return response

    def page(self, handler: Handler) -> Handler:
        """The handler, what it raises shown as a page."""

        @wraps(handler)
        async def guarded(request: Request) -> Response:
            try:
                return await handler(request)
            except Turned as turned:
                return turned.response
            except Refused as error:
                return self._refusal(request, error.refusal)
            except NameplateError as error:
                if error.code not in CATALOGUE:
                    raise
                return self._problem(request, Problem.of(error))
            except HTTPException as error:
                code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
                return self._problem(request, Problem(code, headers=error.headers))
            except ClientDisconnect:
                return Response(status_code=400)

        @wraps(handler)
        async def whole(request: Request) -> Response:
            try:
                return await guarded(request)
            except Exception as error:  # the log has it, the person a page
                log.error("unhandled_error", error=type(error).__name__, exc_info=error)
                return self._problem(request, Problem("internal_error"))

        return whole

    async def session(self, request: Request, *, operator: bool, used: bool = True) -> Session | None:
        """What the browser's cookie stands for; None: nothing, or no more. Raises api.service.Unavailable."""
        token = self._token(request, operator)
        session = await self._sessions.find(digest_of(token), used=used) if token else None
        return session if session is not None and isinstance(session.who, Operator) == operator else None

    async def _visitor(self, request: Request, *, operator: bool, used: bool = True) -> Visitor:
        session = await self.session(request, operator=operator, used=used)
        token = self._token(request, operator)
        if session is None or token is None:
            raise Refused("signed_out")
        visitor = Visitor(session, csrf_of(token))
        request.state.visitor = visitor
        return visitor

    def _token(self, request: Request, operator: bool) -> str | None:
        token = request.cookies.get(self._cookie(operator), "")
        return token if is_token(token) else None

    def _cookie(self, operator: bool) -> str:
        """With the prefix that makes browsers hold it to this host and to TLS (RFC 6265bis section 4.1.3)."""
        return ("__Host-" if self._secure else "") + (OPERATOR if operator else TENANT)

    def _is_ours(self, request: Request) -> bool:
        headers = request.headers
        origin = headers.get("origin")
        if origin is not None and origin != self._origin:
            return False
        if (site := headers.get("sec-fetch-site")) is not None:
            return site == "same-origin"
        return origin is not None or headers.get("referer", "").startswith(self._origin + "/")

    async def _fields(self, request: Request) -> FormData:
        try:
            body = await read(request, MAX_FORM, drained=8 * MAX_FORM)
        except Problem:
            raise Refused("form_too_large") from None

        async def stream() -> AsyncIterator[bytes]:
            yield body
            yield b""

        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        try:
            if kind == "application/x-www-form-urlencoded":
                return await FormParser(request.headers, stream()).parse()  # type: ignore[arg-type]
            if kind == "multipart/form-data" and _is_utf8(request.headers):
                return await InMemory(
                    request.headers,
                    stream(),  # type: ignore[arg-type]
                    max_files=MAX_FIELDS,
                    max_fields=MAX_FIELDS,
                    max_part_size=MAX_FORM,
                ).parse()
        except (MultiPartException, UnicodeDecodeError):
            raise Refused("form_unreadable") from None
        raise Refused("form_unreadable")

    def _refusal(self, request: Request, refusal: Refusal) -> Response:
        title, meaning, way_back = refusal.title, refusal.meaning, refusal.way_back
        return self._view.render(
            request, "refusal.html", refusal.status, title=title, meaning=meaning, who="tenant", way_back=way_back
        )

    def _problem(self, request: Request, problem: Problem) -> Response:
        kind = problem.kind
        return self._view.render(
            request,
            "refusal.html",
            problem=problem,
            title=kind.title,
            meaning=problem.message,
            who=kind.who,
            way_back=False,
        )


def _is_utf8(headers: Headers) -> bool:
    """The parser would decode by any codec of Python's, of which some take minutes and some give what is no text."""
    charset = parse_options_header(headers["content-type"])[1].get(b"charset", b"utf-8")
    return charset.lower() == b"utf-8"


def text(form: FormData, name: str) -> str:
    """What is in a field for text; empty when it was left out."""
    value = form.get(name, "")
    return "" if isinstance(value, UploadFile) else value


def beside(error: NameplateError) -> Problem:
    """A refusal that is said on the page where it was asked for. Raises the error where there is no such page now."""
    problem = Problem.of(error)
    if problem.kind.status == 404 or problem.kind.status >= 500:
        raise error
    return problem


def see(path: str) -> Response:
    """After a form: the browser loads that page (RFC 9110 section 15.4.4)."""
    return RedirectResponse(path, 303)
