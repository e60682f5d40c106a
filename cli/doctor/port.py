"""The address of control's API: free, or control's own."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import httpx

from cli.doctor.finding import Finding, found, well

WHAT = "address of the API"
WITHIN = 1.5  # seconds; it is this machine


async def examine(listen: str) -> Sequence[Finding]:
    """`listen`: HOST:PORT."""
    host, _, number = listen.rpartition(":")
    if not taken(host, int(number)):
        return [well(WHAT, f"{listen} is free")]
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=WITHIN) as http:
            answer = await http.get(f"http://{listen}/livez")
        ours = answer.status_code == httpx.codes.OK and answer.json() == {"status": "ok"}
    except (httpx.HTTPError, ValueError):
        ours = False
    return [well(WHAT, f"control answers at {listen}") if ours else found("port_taken", WHAT, f"{listen} is taken")]


def taken(host: str, number: int) -> bool:
    """Whether somebody takes connections there."""
    try:
        with socket.create_connection((host, number), timeout=WITHIN):
            return True
    except OSError:
        return False
