"""Where the sidecar's gRPC servers listen: a Unix socket for Envoy on the same machine, or TCP with mutual TLS.

The servers give out private keys and decide who is let through, so a Unix socket is for its own user only, and TCP
without a client certificate is refused before anything is bound. A socket appears under its name only when the server
behind it answers (bound beside it, then renamed), and replaces another only if nobody listens on that any more.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc

from core.errors import NameplateError

# sockaddr_un.sun_path holds 108 bytes with the final NUL (unix(7)).
MAX_PATH_BYTES = 107
SOCKET_MODE = 0o600
DIRECTORY_MODE = 0o700
UNIX = "unix:"


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


def parse_address(text: str) -> Address:
    """`unix:PATH` (absolute) or `HOST:PORT`. Raises ListenError."""
    if text.startswith(UNIX):
        path = Path(text.removeprefix(UNIX))
        # the name it is bound under first is longer
        if not path.is_absolute() or len(os.fsencode(_bound_path(path))) > MAX_PATH_BYTES:
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


def make_server(options: Sequence[tuple[str, int]] = ()) -> grpc.aio.Server:
    # Else a second process would take half of a TCP port's connections instead of an error.
    return grpc.aio.server(options=[("grpc.so_reuseport", 0), *options])


class Endpoint:
    """One address of one server: `bind`, start the server, `publish`, and in the end `close`."""

    def __init__(self, address: Address, tls: TlsFiles | None) -> None:
        self.address = address
        self._tls = tls
        self._inode: int | None = None

    def bind(self, server: grpc.aio.Server) -> None:
        """Raises ListenError."""
        match self.address:
            case UnixAddress(path):
                _make_directory(path.parent)
                _refuse_if_taken(path)
                _add_port(server, f"{UNIX}{_bound_path(path)}", None)
            case TcpAddress():
                port = _add_port(server, str(self.address), _credentials(self.address, self._tls))
                self.address = TcpAddress(self.address.host, port)

    def publish(self) -> None:
        """Give a Unix socket its name; its server must have been started."""
        if isinstance(self.address, UnixAddress):
            bound = _bound_path(self.address.path)
            bound.chmod(SOCKET_MODE)
            self._inode = bound.stat().st_ino
            bound.rename(self.address.path)

    def close(self) -> None:
        """Remove our Unix socket, unless another process has put its own in place."""
        if not isinstance(self.address, UnixAddress):
            return
        with contextlib.suppress(OSError):
            _bound_path(self.address.path).unlink()
        with contextlib.suppress(OSError):
            if self.address.path.stat().st_ino == self._inode:
                self.address.path.unlink()
        self._inode = None


def _bound_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}")


def _make_directory(directory: Path) -> None:
    try:
        directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    except OSError as error:
        raise ListenError("address_invalid", f"{directory}: {error.strerror}.") from error


def _refuse_if_taken(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ListenError("address_in_use", f"{path} exists and is not a socket.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except BlockingIOError:
            pass  # its queue is full: somebody listens
    raise ListenError("address_in_use", f"Another process is listening on {path}.")


def _credentials(address: TcpAddress, tls: TlsFiles | None) -> grpc.ServerCredentials:
    if tls is None:
        raise ListenError(
            "tls_required",
            f"{address} is TCP, which needs mutual TLS: set NAMEPLATE_TLS_CERT_FILE, NAMEPLATE_TLS_KEY_FILE and "
            "NAMEPLATE_TLS_CLIENT_CA_FILE, or listen on unix:PATH.",
        )
    try:
        pair = (tls.key.read_bytes(), tls.cert.read_bytes())
        return grpc.ssl_server_credentials([pair], tls.client_ca.read_bytes(), require_client_auth=True)
    except OSError as error:
        raise ListenError("tls_unreadable", f"{error.filename}: {error.strerror}.") from error


def _add_port(server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials | None) -> int:
    try:
        if credentials is None:
            return int(server.add_insecure_port(address))
        return int(server.add_secure_port(address, credentials))
    except RuntimeError as error:
        raise ListenError("address_in_use", f"{address} cannot be bound; gRPC's log says why.") from error
