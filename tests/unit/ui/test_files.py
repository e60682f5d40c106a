"""What pages load: hashed, compressed, kept for good, small."""

from __future__ import annotations

import gzip

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from api.problems import exception_handlers
from api.ui.brand import Brand, Logo
from api.ui.files import Files

LOGO = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
MAX_SHEET = 12 * 1024
MAX_TOGETHER = 20 * 1024  # compressed, so that a whole page stays below 30 KB


def client(files: Files) -> httpx.AsyncClient:
    app = Starlette(routes=[Route("/ui/static/{digest}/{name}", files.show)], exception_handlers=exception_handlers())
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://domains.test")


async def test_a_file_is_kept_for_good_and_comes_compressed() -> None:
    files = Files(Brand())
    async with client(files) as http:
        plain = await http.get(files.path("site.css"), headers={"Accept-Encoding": "identity"})
        packed = await http.get(files.path("site.css"))
    assert plain.text == packed.text
    assert (plain.headers.get("content-encoding"), packed.headers["content-encoding"]) == (None, "gzip")
    assert int(packed.headers["content-length"]) < len(plain.content) / 2
    assert packed.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert packed.headers["vary"] == "Accept-Encoding"
    assert plain.text.endswith("}}")
    assert len(plain.content) <= MAX_SHEET


async def test_all_files_together_are_small() -> None:
    files = Files(Brand())
    together = 0
    async with client(files) as http:
        for name in ("site.css", "live.js", "copy.js", "icon.svg"):
            answer = await http.get(files.path(name))
            assert answer.status_code == 200
            together += len(gzip.compress(answer.content, 9))
    assert together <= MAX_TOGETHER


@pytest.mark.parametrize(
    "path", ["/ui/static/0123456789abcdef/site.css", "/ui/static/x/../../view.py", "/ui/static/x/y"]
)
async def test_nothing_else_is_there(path: str) -> None:
    async with client(Files(Brand())) as http:
        assert (await http.get(path)).status_code == 404


async def test_a_logo_of_the_platforms_own_does_nothing_when_it_is_opened_by_itself() -> None:
    files = Files(Brand(logo=Logo(LOGO, "image/svg+xml")))
    async with client(files) as http:
        answer = await http.get(files.path("logo.svg"))
    assert answer.content == LOGO
    assert answer.headers["content-type"] == "image/svg+xml"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert "script" not in answer.headers["content-security-policy"]


def test_another_colour_is_another_file() -> None:
    assert Files(Brand()).path("site.css") != Files(Brand(accent="#008000")).path("site.css")


@pytest.mark.parametrize("accepted", ["", "br", "gzip;q=0", "gzip; q=0.0, br"])
async def test_what_a_browser_cannot_read_is_not_sent(accepted: str) -> None:
    files = Files(Brand())
    async with client(files) as http:
        answer = await http.get(files.path("site.css"), headers={"Accept-Encoding": accepted})
    assert "content-encoding" not in answer.headers
