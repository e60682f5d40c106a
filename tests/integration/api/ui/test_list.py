"""The list of domains: adding, filtering, paging, and names of every kind."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from scenes.pages import Person, browser
from scenes.tenants import set_status
from starlette.types import ASGIApp

from api.auth import Principal
from api.ui.app import Ui
from api.ui.pages.domains import PAGE

Enter = Callable[..., Awaitable[Person]]
ADD = "/ui/domains"


async def test_a_domain_is_added_and_its_page_is_shown(alice: Person, control: Any) -> None:
    await alice.send(ADD, {"hostname": "  Shop.Example.COM. "})
    assert re.fullmatch(r"/ui/domains/[0-9a-f-]{36}", alice.path)
    assert alice.page.status_code == 200
    assert "The domain was added." in alice.says
    domain_id = UUID(alice.path.rpartition("/")[2])
    row = await control.fetchrow("SELECT hostname, status FROM custom_domains WHERE id = $1", domain_id)
    assert dict(row) == {"hostname": "shop.example.com", "status": "pending"}
    actor = await control.fetchval("SELECT actor FROM audit WHERE domain_id = $1", domain_id)
    assert actor == "tenant:alice"


async def test_a_domain_that_is_there_is_shown(alice: Person) -> None:
    await alice.send(ADD, {"hostname": "shop.example.com"})
    there = alice.path
    await alice.open("/ui/")
    await alice.send(ADD, {"hostname": "shop.example.com"})
    assert alice.path == there
    assert "You had added this domain already." in alice.says


@pytest.mark.parametrize(
    ("typed", "status", "words"),
    [
        ("", 422, "The hostname is empty"),
        ("https://shop.example.com/", 422, "The hostname is a URL"),
        ("shop.example.com:443", 422, "The hostname has a port"),
        ("127.0.0.1", 422, "The hostname is an IP address"),
        ("co.uk", 422, "public suffix"),
        ("shop.platform.io", 422, "belongs to the platform"),
        ("*.example.com", 422, "Wildcards are not supported"),
        ("a" * 2000, 422, "too long"),
        ('"><script>alert(1)</script>', 422, "hostname"),
        ("a\x00b.example.com", 422, "control character"),
    ],
)
async def test_what_is_wrong_is_said_beside_the_field(alice: Person, typed: str, status: int, words: str) -> None:
    await alice.send(ADD, {"hostname": typed})
    assert (alice.page.status_code, alice.path) == (status, ADD)
    assert words in alice.says
    assert 'aria-invalid="true"' in alice.page.text
    assert 'aria-describedby="hostname-problem hostname-hint"' in alice.page.text
    assert "<script>alert" not in alice.page.text
    assert (await alice.open(ADD)).status_code == 200  # loaded anew
    assert 'aria-invalid="true"' not in alice.page.text


async def test_what_is_wrong_is_said_once(alice: Person) -> None:
    await alice.send(ADD, {"hostname": "a b.example.com"})
    assert alice.says.count("space or control character") == 1
    assert "U+0020" in alice.says


async def test_what_was_typed_is_still_there(alice: Person) -> None:
    await alice.send(ADD, {"hostname": 'shop.example.com:443"&<'})
    assert 'value="shop.example.com:443&#34;&amp;&lt;"' in alice.page.text
    await alice.send(ADD, {"hostname": "shop.example.com"})
    assert "The domain was added." in alice.says


async def test_a_full_plan_says_so(alice: Person) -> None:
    for number in range(6):
        await alice.open("/ui/")
        await alice.send(ADD, {"hostname": f"shop{number}.example.com"})
    assert (alice.page.status_code, "The domain limit is reached" in alice.says) == (409, True)
    assert "5 of 5 in use" in alice.says


async def test_each_sees_its_own(alice: Person, enter: Enter) -> None:
    await alice.send(ADD, {"hostname": "shop.example.com"})
    there = alice.path
    mallory = await enter(Principal(uuid4(), "mallory"))
    assert "No domains yet" in mallory.says
    assert (await mallory.open(there)).status_code == 404


async def test_the_list_is_filtered_and_paged(
    make_app: Callable[..., ASGIApp], pool: asyncpg.Pool[Any], ui: Ui, control: Any
) -> None:
    who = Principal(uuid4(), "alice")
    total = PAGE + 3
    async with browser(make_app(pool, ui=ui, max_domains=100)) as http:
        person = Person(http)
        await person.open((await ui.links.make(who)).url)
        for number in range(total):
            await person.open("/ui/")
            await person.send(ADD, {"hostname": f"shop{number}.example.com"})
        for row in await control.fetch("SELECT id FROM custom_domains WHERE tenant_id = $1 LIMIT 2", who.tenant_id):
            await set_status(control, row["id"], "failed")
        await person.open("/ui/")
        assert person.page.text.count('<li>\n    <a href="/ui/domains/') == PAGE
        (more,) = re.findall(r'href="(/ui/\?cursor=[^"]+)"', person.page.text)
        await person.open(more)
        assert person.page.text.count('<li>\n    <a href="/ui/domains/') == 3
        assert "First page" in person.says
        await person.open("/ui/?status=failed")
        assert person.page.text.count('<li>\n    <a href="/ui/domains/') == 2
        assert f"All {total}" in person.says
        await person.open("/ui/?status=moved")
        assert "No domain is in this state." in person.says


@pytest.mark.parametrize("query", ["?status=nonsense", "?cursor=nonsense", "?x=y&x=z", "?notice=<b>", "?" + "a" * 4000])
async def test_an_address_that_somebody_edited_shows_the_list(alice: Person, query: str) -> None:
    assert (await alice.open("/ui/" + query)).status_code == 200
    assert "No domains yet" in alice.says
    assert 'class="notice"' not in alice.page.text


async def test_an_international_name_is_shown_both_ways(alice: Person) -> None:
    await alice.send(ADD, {"hostname": "Bücher.example"})
    await alice.open("/ui/")
    assert "xn--bcher-kva.example" in alice.says
    assert "bücher.example" in alice.says
    (there,) = re.findall(r'href="(/ui/domains/[^"]+)"', alice.page.text)
    for page in ("", "/certificate", "/checks", "/history", "/delete"):
        await alice.open(there + page)
        assert "bücher.example (xn--bcher-kva.example) ·" in alice.page.text.partition("</title>")[0]


async def test_a_database_that_is_away_is_said_by_a_page(alice: Person, workers: asyncpg.Pool[Any]) -> None:
    await workers.close()
    await alice.open("/ui/")
    assert (alice.page.status_code, "The database is unavailable" in alice.says) == (503, True)
    assert alice.page.headers["retry-after"] == "5"
