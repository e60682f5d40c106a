"""Whether a form is one of ours, and what every page has around it."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest
from scenes.pages import ORIGIN, Person

from api.auth import Principal
from api.ui.guard import MAX_FORM

ADD = "/ui/domains"
CSRF_PART = b'--b\r\nContent-Disposition: form-data; name="csrf"\r\n\r\n'


async def post(person: Person, headers: dict[str, str], **fields: str) -> httpx.Response:
    data = {"csrf": person.csrf, "hostname": "shop.example.com", **fields}
    return await person.http.post(ADD, data=data, headers=headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Origin": ORIGIN},
        {"Referer": f"{ORIGIN}/ui/"},
    ],
)
async def test_a_form_of_our_own_origin_is_taken(alice: Person, headers: dict[str, str]) -> None:
    answer = await post(alice, headers)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/ui/domains/")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": ORIGIN, "Sec-Fetch-Site": "same-site"},
        {"Origin": ORIGIN, "Sec-Fetch-Site": "cross-site"},
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "http://domains.platform.io"},
        {"Referer": "https://domains.platform.io.evil.example/"},
        {"Referer": "https://evil.example/?https://domains.platform.io/"},
    ],
)
async def test_a_form_of_another_origin_is_refused(alice: Person, headers: dict[str, str]) -> None:
    answer = await post(alice, headers)
    assert answer.status_code == 403
    await alice.open("/ui/")
    assert "No domains yet" in alice.says


@pytest.mark.parametrize("token", ["", "x", "ä", "a" * 43])
async def test_a_form_without_the_sessions_token_is_refused(alice: Person, token: str) -> None:
    assert (await post(alice, {"Origin": ORIGIN}, csrf=token)).status_code == 403


async def test_a_token_is_of_one_session(alice: Person, enter: Any) -> None:
    mallory = await enter(Principal(uuid4(), "mallory"))
    assert (await post(alice, {"Origin": ORIGIN}, csrf=mallory.csrf)).status_code == 403


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b'{"hostname": "a.example"}', 400),
        ("text/plain", b"hostname=a.example", 400),
        ("multipart/form-data", b"x", 400),
        ("multipart/form-data; boundary=b", b"--b\r\nnonsense", 403),
        ("multipart/form-data; boundary=b", b"--b\r\n\r\n\r\n--b--\r\n", 400),
        ("multipart/form-data; boundary=b; charset=unicode_escape", CSRF_PART + b"\\ud800\r\n--b--\r\n", 400),
        (
            "multipart/form-data; boundary=b; charset=punycode",
            CSRF_PART + b"-" + b"a9" * 400_000 + b"\r\n--b--\r\n",
            400,
        ),
        (
            "multipart/form-data; boundary=b",
            CSRF_PART.replace(b'"\r', b'"; filename="x"\r', 1) + b"x\r\n--b--\r\n",
            403,
        ),
        ("multipart/form-data; boundary=b; charset=UTF-8", CSRF_PART + b"\xff\r\n--b--\r\n", 403),
        ("application/x-www-form-urlencoded", b"\xff=%ff&&&=%zz", 403),
        ("application/x-www-form-urlencoded", b"a" * (MAX_FORM + 1), 413),
        ("application/x-www-form-urlencoded", b"&".join(b"a=b" for _ in range(50_000)), 400),
    ],
)
async def test_any_body_is_survived(alice: Person, content_type: str, body: bytes, status: int) -> None:
    headers = {"Origin": ORIGIN, "Content-Type": content_type}
    answer = await alice.http.post(ADD, content=body, headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")


async def test_every_page_is_held_to_its_own_origin(alice: Person) -> None:
    pages = ["/ui/", "/ui/nowhere", "/ui/left", "/ui/enter?ticket=x", "/ui/domains/x", "/ui/domains"]
    for path in pages:
        answer = await alice.http.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        for forbidden in ("<style", "style=", "onclick", "onload", "javascript:", "<script>"):
            assert forbidden not in answer.text, (path, forbidden)


async def test_what_is_not_there_is_said_by_a_page(alice: Person) -> None:
    for path, status in (("/ui/nowhere", 404), ("/ui/domains/x", 404), ("/ui/domains/../x", 404)):
        await alice.open(path)
        assert alice.page.status_code == status
        assert "traceback" not in alice.page.text.lower()
    put = await alice.http.put("/ui/")
    assert (put.status_code, put.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert (await alice.http.head("/ui/")).status_code == 200


async def test_the_front_door_leads_to_the_list(alice: Person) -> None:
    for path in ("/", "/ui"):
        answer = await alice.http.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/ui/")
