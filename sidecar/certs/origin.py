"""Whom an HTTP request goes to (RFC 9110, 4.3), and what of it a redirect may change."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urljoin, urlsplit

PORTS: Final = {"http": 80, "https": 443}
PRINTABLE: Final = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Origin:
    """`authority`: the Host header. `host`: a name or an address, without brackets."""

    scheme: str
    host: str
    port: int
    authority: str

    @classmethod
    def of(cls, url: str) -> Self:
        """Raises ValueError unless it is an http or https URL with a host. User information is not sent."""
        parts = urlsplit(url)
        host = parts.hostname
        if parts.scheme not in PORTS or not host:
            raise ValueError("is not an http or https URL")
        if not host.isascii():
            host = host.encode("idna").decode()
        literal = f"[{host}]" if ":" in host else host
        authority = literal if parts.port is None else f"{literal}:{parts.port}"
        if PRINTABLE.fullmatch(authority) is None:
            raise ValueError("is not an http or https URL")
        return cls(parts.scheme, host, parts.port or PORTS[parts.scheme], authority)

    @property
    def tls(self) -> bool:
        return self.scheme == "https"

    def redirected(self, target: str, location: str) -> tuple[Origin, str]:
        """Where a request for `target` goes after a redirect to `location`: its origin and target.

        Raises ValueError for what is no URL, and for one that leaves TLS: the token would travel in the clear.
        """
        if PRINTABLE.fullmatch(location) is None:
            raise ValueError("is not a URL")
        url = urljoin(f"{self.scheme}://{self.authority}{target}", location)
        origin = Origin.of(url)
        if self.tls and not origin.tls:
            raise ValueError("leaves TLS")
        parts = urlsplit(url)
        return origin, (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
