"""A worker's end of what `contract` says, on its event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

from sidecar.supervisor.contract import LOST, READY, REPLACED


class Link:
    """`on_replaced` and `on_gone` are called at most once. Without a supervisor (None) nothing is said or heard."""

    def __init__(self, descriptor: int | None) -> None:
        self._socket = None if descriptor is None else socket.socket(fileno=descriptor)
        if self._socket is not None:
            self._socket.setblocking(False)
            self._socket.set_inheritable(False)

    def watch(self, on_replaced: Callable[[], None], on_gone: Callable[[], None]) -> None:
        if self._socket is None:
            return
        link, loop = self._socket, asyncio.get_running_loop()

        def heard() -> None:
            try:
                said = link.recv(64)
            except OSError:
                said = b""
            loop.remove_reader(link)
            if said == REPLACED:
                on_replaced()
            else:
                on_gone()

        loop.add_reader(link, heard)

    def ready(self) -> None:
        self._say(READY)

    def lost(self) -> bool:
        """Whether there is somebody to hear it."""
        return self._say(LOST)

    def _say(self, what: bytes) -> bool:
        if self._socket is None:
            return False
        with contextlib.suppress(OSError):  # the supervisor is gone, which is heard as well
            self._socket.send(what)
        return True

    def close(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
