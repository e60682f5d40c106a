"""axe finds nothing serious on any page, light or dark, wide or on a phone; and no page is wider than its screen."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable

from playwright.async_api import expect
from scenes.play import Play
from scenes.screen import PHONE, SERIOUS, WIDE, Screen

New = Callable[..., Awaitable[Screen]]

LOOKS = ((WIDE, "light"), (PHONE, "dark"), (WIDE, "dark"), (PHONE, "light"))
NARROW = {"width": 320, "height": 640}
TOPS = "all => all.map(one => one.getBoundingClientRect().top)"


async def held_to(screen: Screen, looks: tuple[tuple[dict[str, int], str], ...] = LOOKS) -> Counter[str]:
    """Every look at the page there is. Returns how much of which impact axe found."""
    found: list[str] = []
    for size, scheme in looks:
        await screen.page.set_viewport_size(size)  # type: ignore[arg-type]
        await screen.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        assert await screen.fits(), (screen.path, size)
        found += await screen.violations()
    await screen.page.set_viewport_size(NARROW)  # type: ignore[arg-type]
    assert await screen.fits(), (screen.path, NARROW)
    assert await screen.page.locator(".brand span").evaluate("name => name.scrollWidth <= name.clientWidth"), NARROW
    assert len(set(await screen.page.locator(".tabs a").evaluate_all(TOPS))) <= 1, "tabs in one row"
    serious = [one for one in found if one.startswith(SERIOUS)]
    assert serious == [], screen.path
    return Counter(one.partition(":")[0] for one in found)


async def test_a_tenants_pages(new_screen: New, play: Play) -> None:
    owner, screen = play.customer(), await new_screen(reduced_motion="reduce")
    live = await play.active(owner, f"live.{play.zone}")
    waiting = await owner.register(f"waiting.{play.zone}")
    found: Counter[str] = Counter()
    await screen.enter(owner.token)
    found += await held_to(screen)
    await screen.page.get_by_label("Add a domain").fill("not a name")
    await screen.page.get_by_role("button", name="Add domain").click()
    found += await held_to(screen, LOOKS[:2])
    for body in (live, waiting):
        await screen.go(f"/ui/domains/{body['id']}")
        found += await held_to(screen)
    for below in ("certificate", "client-auth", "checks", "history", "delete"):
        await screen.go(f"/ui/domains/{live['id']}/{below}")
        found += await held_to(screen, LOOKS[:2])
    for path in ("/ui/enter?ticket=forged", "/ui/nowhere", "/ui/left"):
        await screen.go(path)
        found += await held_to(screen, LOOKS[:2])
    print(json.dumps({"axe, tenants' pages": dict(found)}))


OPERATORS = ("", "fleet", "domains", "failing", "limits", "cas", "deliveries", "audit", "explain?host=")


async def test_the_operators_pages(new_screen: New, play: Play) -> None:
    owner, screen = play.customer(), await new_screen(reduced_motion="reduce")
    live = await play.active(owner, f"op.{play.zone}")
    await screen.enter(play.stack.identity.operator_token(), operator=True)
    assert screen.path == "/ui/operator/"
    found: Counter[str] = Counter()
    for path in (*OPERATORS[:-1], OPERATORS[-1] + live["hostname"], f"domains/{live['id']}"):
        await screen.go("/ui/operator/" + path)
        found += await held_to(screen, LOOKS if path == "" else LOOKS[:2])
    print(json.dumps({"axe, operators' pages": dict(found)}))
    await screen.go("/ui/operator/")
    await screen.page.get_by_role("button", name="Sign out").click()
    await expect(screen.page.get_by_role("heading", name="You are signed out")).to_be_visible()
