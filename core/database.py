"""Where a role's PostgreSQL is, and with what a connection to it is made. asyncpg itself is loaded when one is.

Everything is read anew for each connection: the password's file, and the files that the URL names (sslrootcert,
sslcert, sslkey, passfile). So whatever was rotated is used by the next connection, and by every one within minutes.

A pooler in transaction mode (PgBouncer) gives each transaction another session of the server. So statements have no
names there, nor may a name stay behind for the next client to run into: see Pooled. LISTEN cannot work through it.
Source: https://www.pgbouncer.org/features.html
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncpg

LONGEST_PASSWORD = 4096  # octets
CUT = "08003"  # as asyncpg says that a connection ended without a word: TLS 1.3 refuses a certificate late


class PasswordUnreadable(OSError):
    """The password's file cannot be read. The text says why, and which file it is."""


@dataclass(frozen=True, slots=True)
class Access:
    """`url`: as asyncpg takes it. `password_file`: holds the role's password and nothing else; the URL has none then.

    `pooled`: a pooler in transaction mode stands before PostgreSQL.
    """

    url: str = field(repr=False)
    password_file: Path | None = None
    pooled: bool = False

    @classmethod
    def of(cls, address: Access | str) -> Access:
        """An address as text is one that has all in it."""
        return cls(address) if isinstance(address, str) else address

    def options(self) -> dict[str, Any]:
        """Of asyncpg.connect and asyncpg.create_pool."""
        options: dict[str, Any] = {"dsn": self.url}
        if self.password_file is not None:
            options["password"] = _reader(self.password_file)
        if self.pooled:
            from core.pooled import Pooled  # noqa: PLC0415

            options |= {"statement_cache_size": 0, "connection_class": Pooled}
        return options

    async def connect(self, seconds: float, **more: Any) -> asyncpg.Connection[Any]:
        """A connection of one's own, within the seconds. `more`: of asyncpg.connect.

        Raises OSError and asyncpg's errors; see `trouble`.
        """
        import asyncpg  # noqa: PLC0415

        return await asyncpg.connect(**self.options(), timeout=seconds, **more)


def trouble(error: BaseException) -> str:
    """Why there is no connection, in words that hold neither a password nor a piece of the URL."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {(error.reason or type(error).__name__).lower().replace('_', ' ')}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ValueError):
        # What asyncpg says of an address quotes it, but for this.
        said = str(error).partition("\n")[0]
        return said if said.startswith("root certificate file") else f"the URL cannot be used ({type(error).__name__})"
    if isinstance(error, FileNotFoundError | PermissionError):
        return f"a file that the URL names, of TLS or a socket, cannot be read: {error.strerror}"
    if getattr(error, "sqlstate", None) == CUT:
        return "the server hung up: if the URL names an sslcert, it may not be one that the server accepts"
    return str(error) or type(error).__name__


def _reader(file: Path) -> Callable[[], str]:
    def password() -> str:
        try:
            with file.open("rb") as opened:
                return opened.read(LONGEST_PASSWORD).decode().rstrip("\r\n")
        except OSError as error:
            raise PasswordUnreadable(f"the password's file {file} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise PasswordUnreadable(f"the password's file {file} is not text") from None

    return password
