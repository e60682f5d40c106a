"""How a server of ours that is a child process learns that it shall end."""

from __future__ import annotations

import asyncio
import signal


def ending() -> asyncio.Event:
    """An event that SIGTERM or SIGINT sets. Call it before the server answers, so that no signal is missed."""
    event = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, event.set)
    return event
