"""Every page and every form that there is, whatever is added later: whose session it needs, and whose domain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from scenes.overview import ROOT
from scenes.pages import ORIGIN, Person
from starlette.routing import Route
from starlette.types import ASGIApp

from api.exchange import Exchange
from core.domain import Domain

OPEN = {"/ui", "/ui/operator", "/ui/enter", "/ui/left", "/ui/static/{digest}/{name}", "/ui/{rest:path}"}
OURS = {"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"}


def table(app: ASGIApp) -> Iterator[tuple[str, str]]:
    """Path and method of each page that is not for everybody."""
    assert isinstance(app, Exchange)
    inner: Any = app._app
    for route in inner.routes:
        if isinstance(route, Route) and route.path.startswith("/ui") and route.path not in OPEN:
            page: Any = route.endpoint
            for method in page._methods.allow.split(", "):
                if method in ("GET", "HEAD", "POST"):
                    yield route.path, method


async def ask(person: Person, path: str, method: str, domain: Domain, csrf: str = "") -> Any:
    path = path.replace("{id}", str(domain.id)).replace("{delivery}", str(domain.id))
    data = {"csrf": csrf} if method == "POST" else None
    return await person.http.request(method, path, data=data, headers=OURS)


async def test_nothing_is_shown_or_taken_without_a_session(app: ASGIApp, new_person: Any, domain: Domain) -> None:
    found = list(table(app))
    assert len({path for path, _ in found}) >= 25
    for path, method in found:
        answer = await ask(new_person(), path, method, domain)
        assert answer.status_code == 401, (path, method)
        assert domain.hostname not in answer.text


async def test_a_session_of_the_other_kind_is_none(app: ASGIApp, enter: Any, alice: Person, domain: Domain) -> None:
    root = await enter(ROOT)
    for path, method in table(app):
        other = alice if path.startswith("/ui/operator") else root
        answer = await ask(other, path, method, domain, other.csrf)
        assert answer.status_code == 401, (path, method)


async def test_another_tenants_domain_is_nowhere(app: ASGIApp, mallory: Person, domain: Domain) -> None:
    for path, method in table(app):
        if path.startswith("/ui/domains/{id}"):
            answer = await ask(mallory, path, method, domain, mallory.csrf)
            assert answer.status_code in (404, 422), (path, method)
            assert domain.hostname not in answer.text


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE"])
async def test_other_methods_do_nothing(app: ASGIApp, alice: Person, domain: Domain, method: str) -> None:
    for path in {path for path, _ in table(app)}:
        assert (await ask(alice, path, method, domain)).status_code == 405, path
