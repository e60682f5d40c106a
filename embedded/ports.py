"""Free ports on the loopback address.

A port is free when it is handed out, not later: another process may take it before the server binds it.
The kernel walks its ephemeral range at random, so with a server that binds at once this is rare, and it shows
as that server's own "address already in use".
"""

from __future__ import annotations

import errno
import socket

LOOPBACK = "127.0.0.1"
ATTEMPTS = 100


def free_port() -> int:
    """A TCP port that nobody listens on."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """`count` different TCP ports; they are held open together, so they differ."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for sock in sockets:
            sock.bind((LOOPBACK, 0))
        return [sock.getsockname()[1] for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()


def free_udp_and_tcp_port() -> int:
    """A port that is free for UDP and TCP alike, as a DNS server needs."""
    for _ in range(ATTEMPTS):
        port = free_port()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            try:
                sock.bind((LOOPBACK, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                continue
            return port
    raise OSError(errno.EADDRINUSE, f"no port is free for both UDP and TCP after {ATTEMPTS} attempts")


def can_bind(port: int, host: str = LOOPBACK) -> bool:
    """Whether a TCP listener may be opened on `port` now: it is permitted, and nobody holds it."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port))
            sock.listen(1)
        except OSError as error:
            if error.errno in {errno.EACCES, errno.EPERM, errno.EADDRINUSE}:
                return False
            raise
        return True
