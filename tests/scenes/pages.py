"""A person before the pages, without a browser: follows links, fills forms in, reads what is said."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx
from starlette.types import ASGIApp

ORIGIN = "https://domains.platform.io"


def browser(app: ASGIApp) -> httpx.AsyncClient:
    """With a cookie jar; redirects are not followed."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url=ORIGIN)


@dataclass(slots=True)
class Person:
    """`page`: what is on the screen."""

    http: httpx.AsyncClient = field(repr=False)
    page: httpx.Response = field(init=False, repr=False)

    async def open(self, url: str, **headers: str) -> httpx.Response:
        """As a browser does, redirects included."""
        self.page = await self.http.get(url, headers=headers)
        while self.page.status_code == 303:
            self.page = await self.http.get(self.page.headers["location"])
        return self.page

    async def send(self, action: str, fields: Mapping[str, str] | None = None, **headers: str) -> httpx.Response:
        """The form of the page with this action, its hidden fields included."""
        form = next(form for form in forms(self.page.text) if form[0] == action)
        answer = await self.http.post(
            action,
            data={**form[1], **(fields or {})},
            headers={"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin", **headers},
        )
        if answer.status_code == 303:
            return await self.open(answer.headers["location"])
        self.page = answer
        return answer

    @property
    def csrf(self) -> str:
        """What the page's forms carry."""
        return next(fields["csrf"] for _, fields in forms(self.page.text) if "csrf" in fields)

    @property
    def path(self) -> str:
        return urlsplit(str(self.page.url)).path

    @property
    def says(self) -> str:
        """The page's text, without marks."""
        text = re.sub(r"<(head|script)\b.*?</\1>|<[^>]*>", " ", self.page.text, flags=re.DOTALL)
        return re.sub(r"\s+", " ", html.unescape(text)).strip()


def forms(text: str) -> list[tuple[str, dict[str, str]]]:
    """Each form's action and hidden fields."""
    found = []
    for form in re.findall(r"<form\b.*?</form>", text, re.DOTALL):
        (action,) = re.findall(r'<form\b[^>]*\baction="([^"]*)"', form)
        hidden = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', form)
        found.append((html.unescape(action), {name: html.unescape(value) for name, value in hidden}))
    return found
