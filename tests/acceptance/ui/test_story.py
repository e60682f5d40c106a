"""A tenant's person in a real browser, on the whole stack: from the platform's link to a name that answers over TLS."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from uuid import uuid4

from playwright.async_api import expect
from scenes.play import Play
from scenes.screen import Screen

from demo.registrar import publish

New = Callable[..., Awaitable[Screen]]


async def sets_the_records(screen: Screen, play: Play) -> None:
    """As the page shows them, copied by a person into the DNS."""
    records = await screen.records()
    kinds = {kind for kind, _ in records}
    assert {"TXT", "CNAME"} <= kinds, records
    wanted = [(name, kind, value) for (kind, name), value in records.items() if kind in ("TXT", "CNAME")]
    await publish(play.stack.dns, wanted)


async def sees(screen: Screen, label: str) -> None:
    await expect(screen.page.locator("#now .pill")).to_have_text(label)


async def press(screen: Screen, button: str) -> None:
    """Pressed again where it was too soon."""
    await screen.page.get_by_role("button", name=button, exact=True).click()


async def test_from_the_platforms_link_to_a_name_that_answers_and_away_again(new_screen: New, play: Play) -> None:
    host = f"shop.{play.zone}"
    screen, token = await new_screen(), play.stack.identity.token(uuid4(), "alice")
    page = screen.page
    await screen.enter(token)
    await expect(page.get_by_role("heading", name="No domains yet")).to_be_visible()

    await page.get_by_label("Add a domain").fill(f"https://{host}/")
    await press(screen, "Add domain")
    field = page.get_by_label("Add a domain")
    await expect(field).to_have_attribute("aria-invalid", "true")
    await expect(field).to_have_accessible_description(re.compile("The hostname is a URL"))
    await field.fill(host)
    await press(screen, "Add domain")

    await expect(page.get_by_role("status").first).to_contain_text("The domain was added")
    await sees(screen, "Pending DNS")
    await sets_the_records(screen, play)
    await press(screen, "Verify now")
    await page.evaluate("window.sameDocument = true")
    await sees(screen, "Live")
    assert await page.evaluate("window.sameDocument"), "it turned green without being loaded anew"
    await expect(page.locator("#announce")).to_contain_text("live")
    await expect(page.locator("#keeping")).to_be_visible()
    answered = await play.visit(host)
    assert answered.status == 200

    there = screen.path
    await press(screen, "Renew now")
    await expect(page.get_by_role("status").first).to_contain_text("being renewed")
    await press(screen, "Renew now")
    await expect(page.locator(".said-no")).to_be_visible()
    assert screen.path == there, "not the button's address"
    other = await screen.context.new_page()
    await other.goto(page.url)
    await other.get_by_role("button", name="Pause", exact=True).click()
    await expect(other.get_by_role("status").first).to_contain_text("paused")
    await sees(screen, "Live, paused")
    await expect(page.locator(".said-no")).to_have_count(0)
    await page.reload()  # which presses nothing again
    await sees(screen, "Live, paused")
    await expect(page.locator(".said-no")).to_have_count(0)
    await press(screen, "Resume")
    await sees(screen, "Live")
    await page.get_by_role("link", name="Remove…").click()
    await page.get_by_label(re.compile("Type .* to confirm")).fill("another.example")
    await press(screen, "Remove domain")
    await expect(page.get_by_text("This is another name.")).to_be_visible()
    await page.get_by_label(re.compile("Type .* to confirm")).fill(host)
    await press(screen, "Remove domain")
    await expect(page.get_by_role("status").first).to_contain_text("The domain was deleted")
    assert screen.path == "/ui/"
    await play.eventually(lambda: play.refused(host), timeout=30)


async def test_without_scripts_the_same_by_forms_alone(new_screen: New, play: Play) -> None:
    host = f"plain.{play.zone}"
    screen = await new_screen(java_script_enabled=False)
    page = screen.page
    await screen.enter(play.stack.identity.token(uuid4(), "bob"))
    await page.get_by_label("Add a domain").fill(host)
    await press(screen, "Add domain")
    await sees(screen, "Pending DNS")
    await expect(page.get_by_role("button", name=re.compile("Copy"))).to_have_count(0)
    texts = [await one.inner_text() for one in await page.locator(".record .value code").all()]
    names = [await one.inner_text() for one in await page.locator(".record .full code").all()]
    cname = next(text for text in texts if text.endswith("custom.platform.test"))
    assert host in names
    await publish(play.stack.dns, [(host, "CNAME", cname)])
    await press(screen, "Verify now")

    async def live() -> bool:
        await page.get_by_role("link", name="Refresh").click()
        return await page.locator("#now .pill").inner_text() == "Live"

    await play.eventually(live, timeout=60)
    await press(screen, "Sign out")
    await expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()


async def test_by_the_keyboard_alone(new_screen: New, play: Play) -> None:
    host = f"keys.{play.zone}"
    screen = await new_screen()
    page = screen.page
    await screen.enter(play.stack.identity.token(uuid4(), "carol"))

    async def focused() -> str:
        return str(await page.evaluate("document.activeElement.innerText || document.activeElement.id"))

    await page.keyboard.press("Tab")
    assert await focused() == "Skip to the content"
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    assert await focused() == "hostname", "the first thing in the content"
    await page.keyboard.type(host)
    await page.keyboard.press("Enter")
    await sees(screen, "Pending DNS")
    await sets_the_records(screen, play)
    for _ in range(30):
        await page.keyboard.press("Tab")
        outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", f"{await focused()} does not show that it has the focus"
        if await focused() == "Verify now":
            break
    await page.keyboard.press("Enter")
    await sees(screen, "Live")


async def test_a_link_that_was_used_says_so(new_screen: New, play: Play) -> None:
    url = await play.stack.hand_over(play.stack.identity.token(uuid4(), "alice"))
    first, second = await new_screen(), await new_screen(phone=True)
    await first.page.goto(url)
    await second.page.goto(url)
    await expect(second.page.get_by_role("heading", name="This link was used already")).to_be_visible()
    await expect(first.page.get_by_role("heading", name="Domains", exact=True)).to_be_visible()
