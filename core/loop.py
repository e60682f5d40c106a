"""The event loop of our processes: uvloop's, where there is one (not on Windows)."""

from __future__ import annotations

import asyncio

try:
    from uvloop import new_event_loop
except ImportError:
    from asyncio import new_event_loop  # type: ignore[assignment]  # the same, as the base class


def runner() -> asyncio.Runner:
    return asyncio.Runner(loop_factory=new_event_loop)
