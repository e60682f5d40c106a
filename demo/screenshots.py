"""Pictures of the pages, and what they weigh: Chromium before the whole product on this machine.

Each picture is of a page as it is, from its top to its end, in as few colours as do no harm.
"""

from __future__ import annotations

import asyncio
import io
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from demo.gallery import PLAN, Gallery, gallery
from embedded import stack as stacks
from embedded.chromium import chromium
from embedded.plain_http import plain_http

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page, StorageState

WIDE, PHONE = 1280, 390
HEIGHTS = {WIDE: 800, PHONE: 844}
COLORS = 256
TIMES = 20
SETTINGS = {
    "DOMAINS_MAX_PER_TENANT": PLAN,
    "NAMEPLATE_UI_RETURN_URL": "https://platform.test/account",
    "NAMEPLATE_UI_SUPPORT_URL": "https://platform.test/help",
}


@dataclass(frozen=True, slots=True)
class Shot:
    """`domain`: of the gallery, whose path comes before `path`. `dark`: dark too. `press`: a button, first.

    `tallest`: pixels, where the picture is cut.
    """

    name: str
    path: str
    domain: str | None = None
    operator: bool = False
    dark: bool = False
    press: str | None = None
    tallest: int = 2200

    def address(self, shown: Gallery) -> str:
        return self.path if self.domain is None else f"/ui/domains/{shown.ids[self.domain]}{self.path}"


SHOTS: Sequence[Shot] = (
    Shot("domains", "/ui/", dark=True),
    Shot("domain-waiting", "", "waiting", dark=True),
    Shot("domain-wrong-record", "", "wrong"),
    Shot("domain-live", "", "live", dark=True),
    Shot("domain-elsewhere", "", "elsewhere"),
    Shot("domain-wildcard", "", "wildcard"),
    Shot("domain-paused", "", "paused"),
    Shot("domain-certificate", "/certificate", "live"),
    Shot("domain-client-certificates", "/client-auth", "live"),
    Shot("domain-checks", "/checks", "elsewhere", press="Check everything now"),
    Shot("domain-remove", "/delete", "live"),
    Shot("link-refused", "/ui/enter?ticket=refused"),
    Shot("operator", "/ui/operator/", operator=True, dark=True),
    Shot("operator-fleet", "/ui/operator/fleet", operator=True),
    Shot("operator-domains", "/ui/operator/domains", operator=True),
    Shot("operator-failing", "/ui/operator/failing", operator=True),
    Shot("operator-limits", "/ui/operator/limits", operator=True),
    Shot("operator-cas", "/ui/operator/cas", operator=True),
    Shot("operator-deliveries", "/ui/operator/deliveries", operator=True),
    Shot("operator-audit", "/ui/operator/audit", operator=True, tallest=1200),
    Shot("operator-explain", "/ui/operator/explain?host=shop.mybrand.test", operator=True),
)


@dataclass(frozen=True, slots=True)
class Weight:
    """Of a page that is loaded for the first time: bytes as they are sent. `first`: milliseconds, the median."""

    page: int
    files: int
    requests: int
    first: float


async def take(out: Path, console: Console) -> None:
    """Into the folder, a PNG each; prints what the pages weigh. Raises what the stack and the browser raise."""
    await asyncio.to_thread(out.mkdir, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="nameplate-screenshots-") as home:

        def report(line: str) -> None:
            console.print(f"  [dim]started[/] {line}")

        async with (
            stacks.start(Path(home), ca="pebble", dns_01=True, control=SETTINGS, report=report) as stack,
            plain_http(base_url=stack.api_url + "/", timeout=30.0) as http,
            chromium() as browser,
        ):
            shown = gallery(stack, http)
            await shown.hang()
            table = Table("page", "HTML, KB", "files, KB", "requests", "first answer, ms", title="Weight of the pages")
            states = {operator: await _signed_in(browser, shown, operator=operator) for operator in (False, True)}
            for shot in SHOTS:
                taken = await _pictures(browser, shown, shot, states[shot.operator], out)
                weight = await _weight(browser, shown, shot, states[shot.operator])
                table.add_row(
                    shot.name,
                    f"{weight.page / 1024:.1f}",
                    f"{weight.files / 1024:.1f}",
                    str(weight.requests),
                    f"{weight.first:.0f}",
                )
                console.print(f"  {shot.name}: " + ", ".join(f"{size // 1024} KB" for size in taken))
            console.print(table)


async def _signed_in(browser: Browser, shown: Gallery, *, operator: bool) -> StorageState:
    token = shown.stack.identity.operator_token() if operator else shown.owner.token
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(await shown.stack.hand_over(token, operator=operator))
    state = await context.storage_state()
    await context.close()
    return state


async def _pictures(browser: Browser, shown: Gallery, shot: Shot, state: StorageState, out: Path) -> list[int]:
    sizes = []
    for scheme in ("light", "dark") if shot.dark else ("light",):
        context = await browser.new_context(
            color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce", storage_state=state
        )
        page = await context.new_page()
        await page.goto(shown.stack.ui_url + shot.address(shown))
        if shot.press:
            await page.get_by_role("button", name=shot.press).click()
            await page.wait_for_load_state()
        await _settled(page)
        for width in (WIDE, PHONE):
            await page.set_viewport_size({"width": width, "height": HEIGHTS[width]})
            height = min(await page.evaluate("document.documentElement.scrollHeight"), shot.tallest)
            raw = await page.screenshot(full_page=True, clip={"x": 0, "y": 0, "width": width, "height": height})
            kind = "wide" if width == WIDE else "phone"
            small = await asyncio.to_thread(_small, raw)
            (out / f"{shot.name}-{kind}{'-dark' if scheme == 'dark' else ''}.png").write_bytes(small)
            sizes.append(len(small))
        await context.close()
    return sizes


async def _settled(page: Page) -> None:
    """The buttons that copy are there, and the page has said that it keeps itself up to date."""
    await page.wait_for_function(
        """() => ![...document.querySelectorAll("button.copy")].some((one) => one.hidden)
            && (!document.getElementById("keeping") || !document.getElementById("keeping").hidden)"""
    )


async def _weight(browser: Browser, shown: Gallery, shot: Shot, state: StorageState) -> Weight:
    context = await browser.new_context(storage_state=state)
    page = await context.new_page()
    await page.goto(shown.stack.ui_url + shot.address(shown), wait_until="load")
    sizes: list[int] = await page.evaluate(
        """() => performance.getEntriesByType("resource").filter((one) => one.name.includes("/ui/static/"))
            .map((one) => one.encodedBodySize)"""
    )
    whole: int = await page.evaluate("performance.getEntriesByType('navigation')[0].encodedBodySize")
    firsts = []
    for _ in range(TIMES):
        await page.goto(shown.stack.ui_url + shot.address(shown))
        firsts.append(
            float(await page.evaluate("(([one]) => one.responseStart - one.requestStart)"
                                      "(performance.getEntriesByType('navigation'))"))
        )  # fmt: skip
    await context.close()
    return Weight(whole, sum(sizes), 1 + len(sizes), statistics.median(firsts))


def _small(raw: bytes) -> bytes:
    from PIL import Image  # noqa: PLC0415 -- comes with the plots of the bench

    packed = io.BytesIO()
    whole = Image.open(io.BytesIO(raw)).convert("RGB")
    # Not the median cut, which has no colour left for the few pixels of a badge.
    image = whole.quantize(COLORS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    image.save(packed, "PNG", optimize=True)
    return packed.getvalue()
