"""`nameplate top`: one sidecar live, by what its administration says each second. Nothing else is asked or counted."""

from __future__ import annotations

import select
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from cli.explain import SIDECAR, printable
from cli.panel import BAD, rows, title
from cli.scrape import PATIENCE, Look, NotASidecar, look

if TYPE_CHECKING:
    from rich.console import Console, Group

NOT_ASKED = 2  # exit code
HISTORY = 60  # looks
# Of a sidecar with very many certificates a scrape is work: no more than this share of its time is taken.
SHARE = 0.05


def top(
    sidecar: Annotated[str, typer.Option(help="The sidecar's administration (NAMEPLATE_ADMIN_LISTEN).")] = SIDECAR,
    interval: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.2, max=60)] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Look twice, print one table, and end.")] = False,
) -> None:
    """Watch a sidecar live: checks, names, feed, Envoys, certificates, Vault, the process. `q` ends it.

    Exit code 2: the sidecar does not answer, or something else answers there.
    """
    import httpx
    from rich.console import Console

    console = Console()
    view = View(sidecar.rstrip("/"), interval)
    with httpx.Client(trust_env=False, timeout=PATIENCE) as client:
        try:
            view.add(look(client, view.sidecar))
        except NotASidecar as error:
            typer.echo(f"nameplate: {printable(error.message)}", err=True)
            raise typer.Exit(NOT_ASKED) from None
        if once or not console.is_terminal:
            time.sleep(interval)
            view.try_to(lambda: look(client, view.sidecar))
            console.print(view.draw())
            return
        watch(view, lambda: look(client, view.sidecar), console)


@dataclass(slots=True)
class View:
    """What is on the screen. `trouble`: why the last look failed."""

    sidecar: str
    interval: float
    now: Look | None = None
    before: Look | None = None
    trouble: str | None = None
    checks: deque[float] = field(default_factory=lambda: deque(maxlen=HISTORY))

    def add(self, found: Look) -> None:
        self.before, self.now, self.trouble = self.now, found, None
        rate = found.rate(self.before, "nameplate_checks_total")
        if rate is not None:
            self.checks.append(rate)

    def try_to(self, ask: Callable[[], Look]) -> None:
        """A look that fails leaves what was seen before, and says so."""
        try:
            self.add(ask())
        except NotASidecar as error:
            self.trouble = error.message

    @property
    def pause(self) -> float:
        """Seconds until the next look."""
        return self.interval if self.now is None else max(self.interval, self.now.took / SHARE)

    def draw(self) -> Group:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        assert self.now is not None  # noqa: S101
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for label, pieces in rows(self.now, self.before, self.checks):
            table.add_row(label, Text.assemble(*((printable(text), style) for text, style in pieces)))
        head = Text.assemble(*((printable(text), style) for text, style in title(self.sidecar, self.now)))
        if self.trouble is None:
            return Group(head, "", table)
        return Group(head, Text(f"NOT ANSWERING: {printable(self.trouble)}", style=BAD), table)


def watch(view: View, ask: Callable[[], Look], console: Console) -> None:
    """Until `q` or Ctrl-C."""
    from rich.console import Group
    from rich.live import Live

    def shown() -> Group:
        return Group(view.draw(), "", f"[dim]each {view.pause:.1f} s · q: end[/]")

    with keys() as pressed, Live(shown(), console=console, screen=True, auto_refresh=False) as screen:
        try:
            while pressed(view.pause) not in ("q", "Q"):
                view.try_to(ask)
                screen.update(shown(), refresh=True)
        except KeyboardInterrupt:
            return


@contextmanager
def keys() -> Iterator[Callable[[float], str]]:
    """A key that is pressed within so many seconds, or "". Where the input is no terminal there are no keys."""
    if not sys.stdin.isatty():

        def sleep(seconds: float) -> str:
            time.sleep(seconds)
            return ""

        yield sleep
        return
    import termios
    import tty

    def pressed(seconds: float) -> str:
        return sys.stdin.read(1) if select.select([sys.stdin], [], [], seconds)[0] else ""

    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield pressed
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
