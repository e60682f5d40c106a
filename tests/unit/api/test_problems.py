"""`api.problems` and `api.catalogue`: no answer without a documented code, none with our internals."""

from __future__ import annotations

import ast
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from api.catalogue import CATALOGUE
from api.problems import RESERVED_MEMBERS, Problem, exception_handlers, problem_routes
from api.ui.refusals import REFUSALS
from core.errors import NameplateError
from core.hostname import HostnameCode, HostnameError

ROOT = Path(__file__).parents[3]


class CarryingError(NameplateError):
    def __init__(self) -> None:
        super().__init__("missing_field", "The field is missing.")
        self.pointer = "/hostname"
        self.retry_after = 7


RAISED: dict[str, Exception] = {
    "problem": Problem("has_port", "Without :443.", pointer="/hostname", errors=[{"detail": "\ud800", "n": 1}]),
    "limited": Problem("too_many_requests", retry_after=3, headers={"x-limit": "10"}),
    "database": Problem("database_unavailable"),
    "hostname": HostnameError(HostnameCode.PUBLIC_SUFFIX, "Shared."),
    "carrying": CarryingError(),
    "uncatalogued": NameplateError("lease_lost", "postgresql://user:hunter2@db/nameplate"),
    "fault": RuntimeError("postgresql://user:hunter2@db/nameplate"),
    "disconnect": ClientDisconnect(),
    **{str(status): HTTPException(status, "hunter2") for status in (400, 403, 404, 409, 413, 415, 418, 429, 500, 503)},
}


async def raising(request: Request) -> Response:
    raise RAISED[request.path_params["name"]]


async def taking(request: Request) -> Response:
    return PlainTextResponse(await request.body())


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    routes = [
        Route("/raise/{name}", raising),
        Route("/post", taking, methods=["POST"], max_body_size=10),
        *problem_routes(),
    ]
    app = Starlette(routes=routes, exception_handlers=exception_handlers())
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://api.example") as client:
        yield client


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as entries:
        yield entries


def check(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    document: dict[str, Any] = response.json()
    assert response.status_code == status == document["status"] == CATALOGUE[code].status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    assert document["code"] == code
    assert document["type"] == f"/problems/{code}"
    assert document["title"] == CATALOGUE[code].title
    assert document["who"] == CATALOGUE[code].who
    assert document["detail"]
    assert "hunter2" not in response.text
    return document


# --- the catalogue


def test_every_code_of_a_hostname_is_in_the_catalogue_as_422() -> None:
    assert [code for code in HostnameCode if CATALOGUE[code].status != 422] == []


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("hostname_taken", 409),
        ("domain_limit_reached", 409),
        ("domain_not_found", 404),
        ("not_found", 404),
        ("invalid_cursor", 400),
        ("invalid_json", 400),
        ("idempotency_key_reused", 422),
        ("unknown_field", 422),
        ("missing_field", 422),
        ("wrong_type", 422),
        ("token_missing", 401),
        ("token_expired", 401),
        ("forbidden", 403),
        ("too_many_requests", 429),
        ("database_unavailable", 503),
        ("keys_unavailable", 503),
        ("precondition_failed", 412),
        ("wildcard_unsupported", 422),
        ("body_too_large", 413),
        ("unsupported_media_type", 415),
        ("internal_error", 500),
    ],
)
def test_a_published_code_keeps_its_status(code: str, status: int) -> None:
    assert CATALOGUE[code].status == status


@pytest.mark.parametrize("code", CATALOGUE)
def test_an_entry_is_complete_and_its_title_fits_a_header(code: str) -> None:
    kind = CATALOGUE[code]
    assert code.isascii()
    assert code == code.lower()
    assert kind.meaning.endswith(".")
    # RFC 6750 section 3: error_description.
    assert kind.title.isascii()
    assert kind.title.isprintable()
    assert not set(kind.title) & set('"\\')
    assert (kind.retry_after is not None) == (kind.status == 503)


def test_the_catalogue_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        CATALOGUE["new"] = CATALOGUE["not_found"]  # type: ignore[index]  # that it cannot be done is the test


def test_a_problem_with_an_unknown_code_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="no_such_code"):
        Problem("no_such_code")
    with pytest.raises(ValueError, match="lease_lost"):
        Problem.of(NameplateError("lease_lost", "…"))


@pytest.mark.parametrize("member", sorted(RESERVED_MEMBERS - {"code", "detail"}))
def test_a_member_of_the_standard_cannot_be_replaced(member: str) -> None:
    with pytest.raises(ValueError, match=member):
        Problem("not_found", **{member: "x"})  # type: ignore[arg-type]  # mypy lets ** fill every keyword


def errors_of_ours(trees: list[ast.Module]) -> set[str]:
    """The names of the classes that derive from NameplateError."""
    bases = {
        node.name: {base.id for base in node.bases if isinstance(base, ast.Name)}
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    found = {"NameplateError"}
    while new := {name for name, above in bases.items() if above & found} - found:
        found |= new
    return found


def codes_in(tree: ast.Module, errors: set[str]) -> Iterator[str]:
    """What is written as the code of an error: `Problem("…")`, `BodyError("…")`, `super().__init__("…")`."""
    in_errors = {
        id(call)
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and node.name in errors
        for call in ast.walk(node)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        made = node.func.id if isinstance(node.func, ast.Name) else None
        initialised = isinstance(node.func, ast.Attribute) and node.func.attr == "__init__" and id(node) in in_errors
        for part in ast.walk(node.args[0]) if made in errors or initialised else ():
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                yield part.value


def test_every_code_in_the_source_of_the_api_is_in_the_catalogue_or_of_the_pages() -> None:
    trees = [ast.parse(file.read_text()) for file in sorted((ROOT / "api").rglob("*.py"))]
    errors = errors_of_ours(trees)
    used = {code for tree in trees for code in codes_in(tree, errors)}
    assert {"token_expired", "invalid_json", "domain_not_found", "keys_unavailable"} <= used
    assert used - CATALOGUE.keys() - REFUSALS.keys() == set()
    assert not CATALOGUE.keys() & REFUSALS.keys()


# --- answers


async def test_a_problem_is_answered_as_a_problem_document(client: httpx.AsyncClient) -> None:
    document = check(await client.get("/raise/problem"), 422, "has_port")
    assert document["detail"] == "Without :443."
    assert document["pointer"] == "/hostname"
    assert document["errors"] == [{"detail": "\ud800", "n": 1}]


async def test_further_headers_of_a_problem_are_sent(client: httpx.AsyncClient) -> None:
    response = await client.get("/raise/limited")
    check(response, 429, "too_many_requests")
    assert response.headers["retry-after"] == "3"
    assert response.headers["x-limit"] == "10"


async def test_503_says_when_to_retry(client: httpx.AsyncClient) -> None:
    response = await client.get("/raise/database")
    check(response, 503, "database_unavailable")
    assert int(response.headers["retry-after"]) > 0


async def test_an_error_of_ours_is_answered_by_its_code(client: httpx.AsyncClient) -> None:
    document = check(await client.get("/raise/hostname"), 422, "public_suffix")
    assert document["detail"] == "Shared."


async def test_an_error_of_ours_may_carry_a_pointer_and_a_time(client: httpx.AsyncClient) -> None:
    response = await client.get("/raise/carrying")
    assert check(response, 422, "missing_field")["pointer"] == "/hostname"
    assert response.headers["retry-after"] == "7"


@pytest.mark.parametrize("name", ["fault", "uncatalogued"])
async def test_a_fault_shows_nothing_of_itself_and_is_logged(
    client: httpx.AsyncClient, name: str, logged: list[Any]
) -> None:
    document = check(await client.get(f"/raise/{name}"), 500, "internal_error")
    assert document["detail"] == CATALOGUE["internal_error"].meaning
    (entry,) = logged
    assert (entry["event"], entry["log_level"]) == ("unhandled_error", "error")
    assert entry["exc_info"] is RAISED[name]


async def test_a_client_that_went_away_is_not_logged_as_a_fault(client: httpx.AsyncClient, logged: list[Any]) -> None:
    check(await client.get("/raise/disconnect"), 400, "bad_request")
    assert logged == []


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "bad_request"),
        (403, "forbidden"),
        (404, "not_found"),
        (413, "body_too_large"),
        (415, "unsupported_media_type"),
        (418, "bad_request"),
        (429, "too_many_requests"),
        (500, "internal_error"),
        (503, "internal_error"),
    ],
)
async def test_what_starlette_raises_becomes_a_problem_without_its_words(
    client: httpx.AsyncClient, status: int, code: str
) -> None:
    check(await client.get(f"/raise/{status}"), CATALOGUE[code].status, code)


async def test_an_unknown_path_is_a_problem(client: httpx.AsyncClient) -> None:
    check(await client.get("/no/such/path"), 404, "not_found")


async def test_a_wrong_method_is_told_the_right_ones(client: httpx.AsyncClient) -> None:
    response = await client.get("/post")
    check(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "POST"


@pytest.mark.parametrize("code", [code for code, kind in CATALOGUE.items() if kind.status == 401])
def test_401_says_how_to_authenticate(code: str) -> None:
    challenge = Problem(code).headers["www-authenticate"]
    if code == "token_missing":
        assert challenge == 'Bearer realm="nameplate"'
    else:
        title = CATALOGUE[code].title
        assert challenge == f'Bearer realm="nameplate", error="invalid_token", error_description="{title}"'


# --- the pages that `type` refers to


@pytest.mark.parametrize("code", CATALOGUE)
async def test_the_type_of_a_problem_can_be_followed(client: httpx.AsyncClient, code: str) -> None:
    response = await client.get(Problem(code).document()["type"])
    assert response.status_code == 200
    kind = CATALOGUE[code]
    assert response.json() == {
        "type": f"/problems/{code}",
        "code": code,
        "status": kind.status,
        "title": kind.title,
        "who": kind.who,
        "meaning": kind.meaning,
    }


async def test_the_list_has_every_code(client: httpx.AsyncClient) -> None:
    response = await client.get("/problems")
    assert [entry["code"] for entry in response.json()["problems"]] == list(CATALOGUE)


async def test_a_browser_gets_a_page(client: httpx.AsyncClient) -> None:
    for path in ("/problems", "/problems/has_port"):
        response = await client.get(path, headers={"accept": "text/html,application/xhtml+xml"})
        assert response.headers["content-type"] == "text/html; charset=utf-8"
        assert "<td>has_port" in response.text
        assert "https://shop.example.com/" in response.text or path != "/problems"


async def test_a_code_that_does_not_exist_has_no_page(client: httpx.AsyncClient) -> None:
    check(await client.get("/problems/no_such_code"), 404, "not_found")
