"""From a template to a response: what every page has around it, and the headers that hold it to its own origin."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from api.problems import Problem
from api.ui import hostnames, moments
from api.ui.brand import Brand
from api.ui.files import Files
from api.ui.sentence import sentence
from api.ui.sessions import Visitor
from api.ui.texts import NOTICES

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    # Not no-referrer: with it browsers send `Origin: null` with the forms of our own pages (Fetch, section 3.2.2).
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "Cache-Control": "no-store",
}


# They turn what stands beside them around (Unicode Standard Annex 9), and come from certificates and DNS.
_TURNING = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def plain(value: Any) -> Any:
    """What a template says of a text: what would turn its neighbours around is shown as its number."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return _TURNING.sub(lambda found: f"\\u{ord(found[0]):04x}", value)


class View:
    """Every template has `brand`, `visitor` and `problem` (or none), `csrf`, `notice`, `path`, and `asset(name)`."""

    def __init__(self, brand: Brand, files: Files, now: Callable[[], datetime]) -> None:
        self._brand = brand
        self._environment = Environment(
            loader=PackageLoader("api.ui"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
            finalize=plain,
        )
        self._environment.globals |= {"brand": brand, "asset": files.path}
        filters: dict[str, Callable[..., Any]] = {
            "in_words": lambda moment: moments.in_words(moment, now()),
            "in_full": moments.in_full,
            "machine": moments.machine,
            "date": moments.date_in_words,
            "short_date": moments.short_date,
            "unicode": hostnames.unicode_of,
            "both": hostnames.both,
            "sentence": lambda domain: sentence(domain, now()),
        }
        self._environment.filters |= filters

    def render(
        self,
        request: Request,
        template: str,
        status: int = 200,
        /,
        *,
        problem: Problem | None = None,
        **context: Any,
    ) -> Response:
        """`problem`: what the page says was refused; the answer has its status and headers.

        Raises jinja2.UndefinedError for what a template needs and was not given.
        """
        visitor: Visitor | None = getattr(request.state, "visitor", None)
        around = {
            "visitor": visitor,
            "csrf": visitor.csrf if visitor else "",
            "notice": NOTICES.get(request.query_params.get("notice", "")),
            "path": request.scope["path"],
            "problem": problem,
        }
        headers: Mapping[str, str] = {}
        if problem is not None:
            status, headers = problem.kind.status, problem.headers
        text = self._environment.get_template(template).render(around | context)
        return HTMLResponse(text, status, {**HEADERS, **headers})

    def fragment(self, template: str, **context: Any) -> str:
        """A template without a page around it, which has only what it is given."""
        return self._environment.get_template(template).render(context)
