"""`nameplate top` on a real sidecar: one table, live with a key that ends it, and what it says when nobody answers."""

from __future__ import annotations

import asyncio
import io
import os
import pty
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from rich.console import Console
from scenes.checks import check_request
from scenes.edge import PLATFORM, Edge

from cli.scrape import NotASidecar
from cli.top import View
from embedded.ports import LOOPBACK

TOP = (sys.executable, "-m", "cli", "top")


async def check(edge: Edge, host: str) -> None:
    async with grpc.aio.insecure_channel(f"unix:{edge.home}/run/check.sock") as channel:
        await channel.unary_unary("/envoy.service.auth.v3.Authorization/Check")(check_request(host, b"/", host))


async def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "200"}
    return await asyncio.to_thread(
        subprocess.run, [*TOP, *arguments], capture_output=True, text=True, env=environment, timeout=60, check=False
    )


@pytest.fixture
async def started(edge: Edge) -> Any:
    await edge.add_default_certificate()
    await edge.add_tenant("acme")
    await edge.start_sidecar()
    yield edge
    await edge.stop_sidecar()


async def test_one_table_says_how_a_sidecar_is(started: Edge, eventually: Callable[..., Awaitable[Any]]) -> None:
    await check(started, f"acme.{PLATFORM}")

    async def loaded() -> bool:
        return "nameplate_platform_certificate_not_after_timestamp_seconds" in await started.metrics()

    await eventually(loaded)
    said = await run("--once", "--sidecar", f"http://{LOOPBACK}:{started.admin_port}/", "--interval", "0.2")
    assert (said.returncode, said.stderr) == (0, "")
    table = {line.split()[0]: line for line in said.stdout.splitlines() if line.split()}
    assert "ready" in said.stdout.splitlines()[0]
    assert "1 in all" in table["checks"]
    assert "ok 0/s" in said.stdout
    assert "1 of 2,000,000" in table["names"] and "all there are" in table["names"]
    assert "s ago" in table["feed"] and "STALE" not in table["feed"]
    assert table["envoys"].split()[1] == "0"
    assert f"*.{PLATFORM}" in table["certificates"] and "the platform's in" in table["certificates"]
    assert "answers" in table["vault"]
    assert "MB" in table["process"] and "CPU –" not in table["process"]


async def test_a_key_ends_the_live_view_and_the_terminal_is_as_it_was(started: Edge) -> None:
    def watch() -> tuple[int, bytes]:
        ours, theirs = pty.openpty()
        arguments = [*TOP, "--interval", "0.2", "--sidecar", f"http://{LOOPBACK}:{started.admin_port}"]
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
        process = subprocess.Popen(arguments, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
        os.close(theirs)
        seen = b""
        try:
            while seen.count(b"q: end") < 3:  # it was drawn anew
                seen += os.read(ours, 65536)
            os.write(ours, b"q")
            try:
                while more := os.read(ours, 65536):
                    seen += more
            except OSError:  # the other end is closed
                pass
            return process.wait(30), seen
        finally:
            process.kill()
            process.wait()
            os.close(ours)

    async with asyncio.timeout(60):
        code, seen = await asyncio.to_thread(watch)
    assert code == 0
    assert b"certificates" in seen
    assert b"\x1b[?25h" in seen[seen.rindex(b"q: end") :], "the cursor is shown again"
    assert b"\x1b[?1049l" in seen, "the screen of before is back"


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "nonsense", "http://[::1", "http://\x1b]0;x\x07"])
async def test_who_does_not_answer_is_named(address: str) -> None:
    said = await run("--once", "--sidecar", address)
    assert said.returncode == 2
    assert said.stdout == ""
    assert said.stderr.startswith("nameplate: ") and said.stderr.count("\n") == 1
    assert "\x1b" not in said.stderr


async def test_something_else_that_answers_is_not_taken_for_a_sidecar(vault_mount: Any) -> None:
    said = await run("--once", "--sidecar", vault_mount.url)
    assert (said.returncode, said.stdout) == (2, "")
    assert "nameplate: " in said.stderr


async def test_a_sidecar_that_goes_away_is_said_to_be_and_what_was_seen_stays(started: Edge) -> None:
    import httpx

    from cli.scrape import look

    url = f"http://{LOOPBACK}:{started.admin_port}"
    view = View(url, 1.0)

    def drawn() -> str:
        console = Console(file=io.StringIO(), width=160)
        console.print(view.draw())
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue()

    with httpx.Client(trust_env=False) as client:
        view.add(await asyncio.to_thread(look, client, url))
        assert "NOT ANSWERING" not in drawn()
        await started.stop_sidecar()
        with pytest.raises(NotASidecar, match="does not answer"):
            look(client, url)
        view.try_to(lambda: look(client, url))
        assert "NOT ANSWERING" in drawn()
        assert "1 of 2,000,000" in drawn()
        await started.start_sidecar()
        view.try_to(lambda: look(client, url))
        assert "NOT ANSWERING" not in drawn()
        assert "checks        –/s" in drawn(), "a process that has begun anew has no rate yet"
