"""`nameplate demo`: start everything, play the story, stay up for the reader, leave nothing behind."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from pathlib import Path

import httpx
from rich.console import Console

from demo.door import door_of, open_door
from demo.ledger import Ledger
from demo.signposts import prepare_one_more, print_signposts
from demo.story import Story
from embedded import stack
from embedded.debian import PackageMissing
from embedded.plain_http import plain_http
from embedded.ports import LOOPBACK, free_port
from embedded.process import ServerFailed

WHAT_HAPPENS = (
    "Two customers of a platform, MyBrand and MyCompany, bring three domain names. Each name is proven by DNS, gets a "
    "certificate, and is opened over HTTPS; then one is taken away. It takes about half a minute. All servers are "
    "real, run on this machine only, and are gone afterwards."
)


async def run(*, once: bool, ca: str | None) -> int:
    """Return the exit code: 0 only if every claim held."""
    console = Console()
    chosen, why = stack.choose_ca(ca)
    console.rule("[bold]Nameplate[/]: customers of a platform bring their own domains")
    console.print(WHAT_HAPPENS)
    console.print(f"Certificates are made by [bold]{'OpenBao' if chosen == 'openbao' else 'Pebble'}[/]: {why}.\n")
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    ledger, told = Ledger(console), asyncio.Event()
    with tempfile.TemporaryDirectory(prefix="nameplate-demo-") as home:
        play = asyncio.create_task(_play(Path(home), chosen, ledger, console, told, stop, once=once))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({play, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not play.done() and not told.is_set():
            play.cancel()
        try:
            await play
        except asyncio.CancelledError:
            console.print("Interrupted; everything is stopped.")
            return 130
        except (ServerFailed, PackageMissing, httpx.HTTPError, OSError, RuntimeError, TimeoutError) as error:
            console.print(f"[bold red]The demo could not go on:[/] {error}")
            return 1
        finally:
            stopped.cancel()
    return 0 if ledger.all_held else 1


async def _play(
    home: Path, ca: str, ledger: Ledger, console: Console, told: asyncio.Event, stop: asyncio.Event, *, once: bool
) -> None:
    """`told` is set when the story is at its end; then everything stays up until `stop`."""

    def report(line: str) -> None:
        console.print(f"  [dim]started[/] {line}")

    door_port = free_port()
    settings = {"NAMEPLATE_UI_RETURN_URL": f"http://{LOOPBACK}:{door_port}/"}
    async with (
        stack.start(home, ca=ca, report=report, control=settings) as running,
        plain_http(base_url=running.api_url + "/", timeout=30.0) as http,
    ):
        story = Story(running, http, ledger, console)
        await story.tell()
        told.set()
        console.print()
        console.print(ledger.table())
        if not once and ledger.all_held:
            await prepare_one_more(story)
            async with open_door(door_of(story, door_port)) as door:
                print_signposts(running, story, console, door)
                await stop.wait()
            console.print("\nStopping.")
