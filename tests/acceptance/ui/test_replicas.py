"""Pages of several control processes: one's link opens another's page, and an open page holds no process up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
from scenes.play import Play

from embedded.ports import LOOPBACK, free_port
from embedded.process import Process

WITHIN = 6.0  # seconds; a drain that waits for the stream takes its whole eight


@pytest.fixture
async def second(play: Play) -> AsyncIterator[tuple[Process, str]]:
    """Another replica, and where it is."""
    listen = f"{LOOPBACK}:{free_port()}"
    process = await play.stack.start_control("second", NAMEPLATE_API_LISTEN=listen)
    yield process, f"http://{listen}"
    if process.returncode is None:
        await process.stop(20)


async def test_a_link_of_one_replica_opens_a_page_of_another_and_an_open_page_does_not_hold_its_end_up(
    play: Play, second: tuple[Process, str]
) -> None:
    process, url = second
    owner = play.customer(uuid4())
    domain = await owner.register(f"open.{play.zone}")
    link = urlsplit(await play.stack.hand_over(owner.token))
    async with httpx.AsyncClient(base_url=url, trust_env=False, follow_redirects=True, timeout=30) as http:
        listed = await http.get(f"{link.path}?{link.query}")
        assert (listed.status_code, domain["hostname"] in listed.text) == (200, True)
        async with http.stream("GET", f"/ui/domains/{domain['id']}/events") as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            chunks = stream.aiter_text()
            await anext(chunks)
            await process.stop(WITHIN)
            async for _ in chunks:
                pass
    assert process.returncode == 0
