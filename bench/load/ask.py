"""One check after the other, each waited for: who wants to see when an answer changes asks like this."""

from __future__ import annotations

import re
import socket

from bench.load.checks import READ, Requests
from bench.load.http2 import Http2Client
from bench.load.message import CHECK_PATH
from bench.names import hostname

DEADLINE = 10.0
# The header's value in the encoded answer: field 2 of a HeaderValue, a UUID's 36 characters.
_tenant = re.compile(rb"x-tenant-id\x12\x24([0-9a-f-]{36})").search


class Asker:
    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(DEADLINE)
        self._socket.connect(path)
        self._client = Http2Client("authz", CHECK_PATH)
        self._request = Requests()

    def tenant(self, number: int) -> str | None:
        """Whose the domain of that number is, as the sidecar says now; None: it does not let it through."""
        stream = self._client.request(self._request(hostname(number).encode()))
        while True:
            out = bytes(self._client.out)
            self._client.out.clear()
            if out:
                self._socket.sendall(out)
            data = self._socket.recv(READ)
            if not data:
                raise ConnectionError("the check socket was closed")
            for ended, message in self._client.receive(data):
                if ended == stream:
                    found = _tenant(message or b"")
                    return found[1].decode() if found else None

    def close(self) -> None:
        self._socket.close()
