"""What systemd is told, by sd_notify(3), of a unit with Type=notify or notify-reload. Elsewhere nobody listens."""

from __future__ import annotations

import contextlib
import socket
import time


class Systemd:
    def __init__(self, address: str | None) -> None:
        """`address`: of $NOTIFY_SOCKET; a path, or with @ a name in the abstract namespace."""
        self._address = f"\0{address[1:]}" if address and address.startswith("@") else address

    def ready(self, worker: int) -> None:
        self._send(f"READY=1\nSTATUS=worker {worker} serves")

    def reloading(self) -> None:
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def failed_to_reload(self, worker: int) -> None:
        """There is no other way to say so: the unit is as it was."""
        self._send(f"READY=1\nSTATUS=worker {worker} could not be replaced and serves; the log says why")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def _send(self, state: str) -> None:
        if self._address is None:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as messages:
            messages.sendto(state.encode(), self._address)
