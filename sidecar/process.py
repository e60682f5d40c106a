"""The sidecar as a process: no core dumps, settings, a loop, signals, and an exit code.

Exit codes: sidecar.supervisor.contract.
"""

from __future__ import annotations

import asyncio
import signal
import sys

from core import log as logs
from core.hardening import harden
from core.loop import runner
from sidecar.app import Sidecar
from sidecar.garbage import collect_seldom
from sidecar.listen import ListenError
from sidecar.settings import SettingsError, SidecarSettings, read_settings
from sidecar.stop import EXIT_CODES, Stop
from sidecar.supervisor.contract import UNUSABLE
from sidecar.supervisor.link import Link


async def run(settings: SidecarSettings, link: Link, *, replace: bool) -> int:
    """The whole process on the running loop. Returns the exit code. Raises ListenError."""
    sidecar = Sidecar(settings, link, replace=replace)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, sidecar.stop, Stop.TOLD)
    link.watch(on_replaced=lambda: sidecar.stop(Stop.REPLACED), on_gone=lambda: sidecar.stop(Stop.TOLD))
    try:
        return EXIT_CODES[await sidecar.run()]
    finally:
        link.close()


def main(*, supervisor: int | None = None, replace: bool = False) -> int:
    """Returns the exit code. `supervisor`: the descriptor of a Link. `replace`: another sidecar has the addresses."""
    harden()
    collect_seldom()
    try:
        settings = read_settings()
        logs.configure("sidecar", settings.log_level)
        with runner() as loop:
            return loop.run(run(settings, Link(supervisor), replace=replace))
    except (SettingsError, ListenError) as error:
        for line in error.message.splitlines():
            print(f"nameplate sidecar: {line}", file=sys.stderr)  # noqa: T201 -- for whoever started it
        return UNUSABLE
