"""Where the sidecar's gRPC servers listen: a Unix socket for Envoy on the same machine, or TCP with mutual TLS.

The servers give out private keys and decide who is let through, so a Unix socket is for its own user only, and TCP
without a client certificate is refused before anything is bound. An address begins to answer only when the server
behind it is ready, and is taken from another sidecar only by one that was started to replace it.

Two processes share a TCP port while one replaces the other (SO_REUSEPORT, socket(7): only for processes of one user).
Nobody else gets in by accident: the kernel refuses a second socket without the option.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.errors import NameplateError
from sidecar.socket_path import MAX_PATH_BYTES, Holder, SocketPath

DIRECTORY_MODE = 0o700
UNIX = "unix:"
# Connections that wait to be accepted. Envoy opens one a worker thread.
BACKLOG = 1024
# Seconds for a TLS handshake.
HANDSHAKE = 10.0
# Turns of the event loop in which all that wait are accepted: what waits in a queue that is closed is reset.
ACCEPT_TURNS = 3
# Seconds in which a TLS handshake that has begun becomes a connection, which is counted and drained like the others.
LATE_HANDSHAKES = 0.5
# RFC 9113, 9.2.2: those of TLS 1.2 that it does not forbid. (TLS 1.3 has its own.)
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


class ListenError(NameplateError):
    """An address cannot be used. Codes: address_invalid, address_in_use, tls_required, tls_unreadable."""


@dataclass(frozen=True, slots=True)
class UnixAddress:
    path: Path

    def __str__(self) -> str:
        return f"{UNIX}{self.path}"


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """`host`: an IPv4 address, an IPv6 address without brackets, or a name."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


Address = UnixAddress | TcpAddress


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: our chain and key, and the CA of the clients that may connect."""

    cert: Path
    key: Path
    client_ca: Path

    def context(self) -> ssl.SSLContext:
        """A server's: TLS 1.2 or newer, ALPN h2, a client certificate of the CA. Raises ListenError."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.set_ciphers(CIPHERS)
        context.set_alpn_protocols(["h2"])
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            for path in (self.key, self.cert, self.client_ca):
                path.open("rb").close()  # OpenSSL's own errors do not say which file
            context.load_cert_chain(self.cert, self.key, password=_no_password)
            context.load_verify_locations(self.client_ca)
        except ssl.SSLError as error:
            names = f"{self.cert}, {self.key}, {self.client_ca}"
            raise ListenError("tls_unreadable", f"{names}: {error.reason or 'not usable'}.") from error
        except OSError as error:
            raise ListenError("tls_unreadable", f"{error.filename}: {error.strerror}.") from error
        return context


def parse_address(text: str) -> Address:
    """`unix:PATH` (absolute) or `HOST:PORT`. Raises ListenError."""
    if text.startswith(UNIX):
        path = Path(text.removeprefix(UNIX))
        # the name it is bound under first is longer
        if not path.is_absolute() or not SocketPath(path).fits:
            raise ListenError(
                "address_invalid",
                f"{text}: the path of a Unix socket is absolute and well below {MAX_PATH_BYTES} bytes.",
            )
        return UnixAddress(path)
    return parse_tcp_address(text)


_tcp = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:\s]+)):([0-9]{1,5})").fullmatch


def parse_tcp_address(text: str) -> TcpAddress:
    """`HOST:PORT`, an IPv6 address in brackets. Raises ListenError."""
    parts = _tcp(text)
    if parts is None or int(parts[3]) > 65535:
        raise ListenError("address_invalid", f"{text}: an address is unix:/absolute/path or HOST:PORT.")
    return TcpAddress(parts[1] or parts[2], int(parts[3]))


class Endpoint:
    """One address of one server: `bind`, `start`, `publish`; in the end `withdraw`, and `close` when all was answered.

    `replace`: take the address from the sidecar that has it. That one goes on meanwhile, until `publish`.
    """

    def __init__(self, address: Address, tls: TlsFiles | None, *, replace: bool = False) -> None:
        self.address = address
        self._tls = tls
        self._replace = replace
        self._path = SocketPath(address.path) if isinstance(address, UnixAddress) else None
        self._socket: socket.socket | None = None
        self._context: ssl.SSLContext | None = None
        self._server: asyncio.Server | None = None

    def bind(self) -> None:
        """Nobody can connect yet. Raises ListenError, and has then left nothing behind."""
        if self._path is not None:
            self._socket = _bind_unix(self._path, replace=self._replace)
        elif isinstance(self.address, TcpAddress):
            self._context = _tls(self.address, self._tls)
            self._socket = bind_tcp(self.address, replace=self._replace)
            self.address = TcpAddress(self.address.host, self._socket.getsockname()[1])

    async def publish(self, protocol: Callable[[], asyncio.Protocol]) -> None:
        """From now on each connection is a `protocol`'s. Raises OSError."""
        assert self._socket is not None, "bind comes first"  # noqa: S101 -- the order of calls is ours
        loop = asyncio.get_running_loop()
        if self._path is None:
            self._server = await loop.create_server(
                protocol, sock=self._socket, ssl=self._context, ssl_handshake_timeout=HANDSHAKE, backlog=BACKLOG
            )
        else:
            self._server = await loop.create_unix_server(protocol, sock=self._socket, backlog=BACKLOG)
            self._path.publish()

    def holder(self) -> Holder | None:
        """Who answers under a Unix address. A TCP port does not tell: None."""
        return None if self._path is None else self._path.holder()

    async def withdraw(self) -> None:
        """Nobody connects here any more; those whose connection waits to be accepted have got it when this returns."""
        if self._path is not None:
            self._path.remove()
        for _ in range(ACCEPT_TURNS):
            await asyncio.sleep(0)
        self.close()
        if self._context is not None:
            await asyncio.sleep(LATE_HANDSHAKES)

    def close(self) -> None:
        """Connections that were accepted stay. Idempotent."""
        server, self._server = self._server, None
        listening, self._socket = self._socket, None
        if self._path is not None:
            self._path.remove()
        if server is not None:
            server.close()
        if listening is not None:
            listening.close()


def bind_tcp(address: TcpAddress, *, replace: bool) -> socket.socket:
    """A bound socket that does not listen yet. `replace`: another sidecar may listen there. Raises ListenError."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    # asyncio sets TCP_NODELAY only where the protocol is named: without it an answer in two writes takes 40 ms (Nagle,
    # and the client's delayed acknowledgement).
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family is socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if replace:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((address.host, address.port))
        # Set after binding, it lets a successor in, but did not let us in.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except OSError as error:
        bound.close()
        raise ListenError("address_in_use", f"{address} cannot be bound: {error.strerror}.") from error
    return bound


def _bind_unix(path: SocketPath, *, replace: bool) -> socket.socket:
    _take(path, replace=replace)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.clear()
        bound.bind(str(path.beside))
    except OSError as error:
        bound.close()
        raise ListenError("address_in_use", f"{path.beside} cannot be bound: {error.strerror}.") from error
    return bound


def _take(path: SocketPath, *, replace: bool) -> None:
    """Make the directory, and see that the name may be ours. Raises ListenError."""
    try:
        path.path.parent.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        foreign = path.foreign()
    except OSError as error:
        raise ListenError("address_invalid", f"{path.path.parent}: {error.strerror}.") from error
    if foreign:
        raise ListenError("address_in_use", f"{path.path} exists and is not a socket.")
    if not replace and path.holder() is Holder.ANOTHER:
        raise ListenError("address_in_use", f"Another process is listening on {path.path}.")


def _tls(address: TcpAddress, files: TlsFiles | None) -> ssl.SSLContext:
    if files is None:
        raise ListenError(
            "tls_required",
            f"{address} is TCP, which needs mutual TLS: set NAMEPLATE_TLS_CERT_FILE, NAMEPLATE_TLS_KEY_FILE and "
            "NAMEPLATE_TLS_CLIENT_CA_FILE, or listen on unix:PATH.",
        )
    return files.context()


def _no_password() -> str:
    """Else OpenSSL would ask on the terminal."""
    return ""
