"""The address of the sidecar's own HTTP: taken at the start, answered under later (sidecar.admin), left in the end."""

from __future__ import annotations

import socket
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from sidecar.listen import ListenError, TcpAddress, bind_tcp

if TYPE_CHECKING:
    from sidecar.admin import Admin, AdminServer


class Administration:
    """`replace`: another sidecar has the address."""

    def __init__(self, listen: TcpAddress, *, replace: bool) -> None:
        self._listen = listen
        self._replace = replace
        self._socket: socket.socket | None = None
        self._server: AdminServer | None = None

    def bind(self) -> None:
        """Raises ListenError."""
        try:
            self._socket = bind_tcp(self._listen, replace=self._replace)
        except ListenError as error:
            raise ListenError(error.code, f"NAMEPLATE_ADMIN_LISTEN={error.message}") from error

    def serve(self, app: Admin) -> Coroutine[Any, Any, None]:
        """Answers until closed."""
        from sidecar.admin import AdminServer  # noqa: PLC0415 -- late: see sidecar.app

        assert self._socket is not None  # noqa: S101
        self._server = AdminServer.of(app)
        return self._server.serve(sockets=[self._socket])

    def close(self) -> None:
        if self._server is not None:
            self._server.should_exit = True
        elif self._socket is not None:
            self._socket.close()
