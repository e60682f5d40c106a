"""`nameplate demo`, as a reader starts it: it holds what it claims, its lines can be copied, and it leaves nothing."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from embedded.plain_http import plain_http

Eventually = Callable[..., Awaitable[Any]]


@asynccontextmanager
async def demo(state_dir: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, Path]]:
    """The process, and the file that its output goes to. Its temporary directory is below `state_dir/tmp`."""
    (state_dir / "tmp").mkdir(mode=0o711)
    out = state_dir / "out"
    with out.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cli", "demo", "--ca", "pebble"),
            env={**os.environ, "COLUMNS": "80", "TMPDIR": str(state_dir / "tmp")},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
    try:
        yield process, out
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_the_demo_holds_what_it_claims_and_stays_up_until_it_is_interrupted(
    state_dir: Path, pebble_package: None, eventually: Eventually
) -> None:
    async with demo(state_dir) as (process, out):

        def is_up() -> bool:
            return process.returncode is not None or "\nIn another terminal" in out.read_text()

        await eventually(is_up, timeout=90)
        text = out.read_text()
        assert process.returncode is None, text
        assert "✗" not in text
        assert text.count("✓") >= 2 * 13
        steps = re.findall(r"^# (.+)\n(curl .+)$", text, re.MULTILINE)
        assert len(steps) == text.count("\ncurl ") == 11, "a line that is copied with its comment would be cut"
        assert re.search(r"postgresql://postgres@127\.0\.0\.1:\d+/nameplate", text), "an address is cut short"
        (home,) = (state_dir / "tmp").iterdir()
        assert (home / "token").stat().st_mode & 0o777 == 0o600
        assert f": . {home}/shell\n" in text
        assert re.findall(rf"^\(\. {home}/shell; (.+)\)$", text, re.MULTILINE) == [
            "explain shop.mybrand.test",
            "doctor",
            "doctor_sidecar",
        ]
        for file in ("shell", "control.env", "sidecar.env"):
            assert (home / file).stat().st_mode & 0o777 == 0o600, "it holds secrets"

        doors = re.findall(r"^(http://127\.0\.0\.1:\d+/[a-z]+)$", text, re.MULTILINE)
        assert [door.rpartition("/")[2] for door in doors] == ["mybrand", "mycompany", "operator"]
        for door in doors * 2:  # a button makes a new link each time it is pressed
            async with plain_http(follow_redirects=True) as visitor:
                page = await visitor.get(door)
            assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
            assert page.url.path == ("/ui/operator/" if door.endswith("operator") else "/ui/")

        words = shlex.split(steps[0][1].replace("$(cat", "").replace(")", ""))
        headers = [word.split(": ") for flag, word in pairwise(words) if flag == "-H"]
        headers = [(name, value.replace(str(home / "token"), (home / "token").read_text())) for name, value in headers]
        (url,) = [word for word in words if word.startswith("http://")]
        async with plain_http() as http:
            registered = await http.post(url, content=words[words.index("-d") + 1], headers=headers)
            assert registered.status_code == 201, registered.text

        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
        assert list((state_dir / "tmp").iterdir()) == []


async def test_the_demo_is_interrupted_at_once_in_the_middle_of_its_story(
    state_dir: Path, pebble_package: None, eventually: Eventually
) -> None:
    async with demo(state_dir) as (process, out):
        await eventually(lambda: "✓ each is pending" in out.read_text(), timeout=60)
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 130
        assert "5. The tenant" not in out.read_text()
        assert list((state_dir / "tmp").iterdir()) == []
