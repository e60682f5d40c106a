"""The pages in a platform's own name."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import asyncpg
from scenes.pages import Person, browser
from starlette.types import ASGIApp

from api.auth import Principal
from api.ui.app import Ui
from api.ui.brand import Brand, Logo

LOGO = Logo(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml")
BRAND = Brand("Shop & Söhne <b>", "#ffcc00", LOGO, "https://shop.test/account?a=1&b=2", "https://shop.test/help")


async def test_name_logo_colour_and_ways_out_are_the_platforms(
    make_app: Callable[..., ASGIApp], pool: asyncpg.Pool[Any], ui: Ui
) -> None:
    async with browser(make_app(pool, ui=replace(ui, brand=BRAND))) as http:
        person = Person(http)
        await person.open((await ui.links.make(Principal(uuid4(), "alice"))).url)
        page = person.page.text
        assert "<title>Domains · Shop &amp; Söhne &lt;b&gt;</title>" in page
        assert "Nameplate" not in page
        assert 'href="https://shop.test/account?a=1&amp;b=2"' in page
        assert 'href="https://shop.test/help"' in page
        (logo,) = set(re.findall(r'src="(/ui/static/[^"]+/logo\.svg)"', page))
        assert (await http.get(logo)).content == LOGO.content
        (sheet,) = re.findall(r'href="(/ui/static/[^"]+/site\.css)"', page)
        style = (await http.get(sheet)).text
        assert "--accent:#ffcc00" in style.rpartition("prefers-color-scheme:dark")[2], "it can be read on dark"
        assert style.count("--accent:") == 2
