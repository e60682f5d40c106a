"""Addresses of endpoints as tenants write them: URLs of webhooks and mail addresses, taken strictly, in one spelling.

No I/O: where a webhook's name leads is found out at each delivery (control.outbox.target).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from api.endpoints import AddressRefused
from control.outbox.guard import Network, literal, refusal
from core.hostname import normalize_sni

MAX_LENGTH = 2048  # what browsers and servers agree to take
MAX_MAIL = 254  # RFC 5321 section 4.5.3.1.3, without the angle brackets

_PORTS = {"https": 443, "http": 80}
# A dot-atom (RFC 5322 section 3.2.3), at most 64 octets (RFC 5321): quoted local parts are for testing parsers.
_LOCAL = re.compile(r"(?=.{1,64}\Z)[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_URL = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class WebhookUrl:
    """`host`: a normal hostname, or an IP address without brackets. `path`: with its query."""

    secure: bool
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def scheme(self) -> str:
        return "https" if self.secure else "http"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


def parse_url(text: str, *, insecure: bool = False, allowed: Sequence[Network] = ()) -> WebhookUrl:
    """`insecure`: http too. Raises AddressRefused."""
    if len(text) > MAX_LENGTH or _URL.fullmatch(text) is None:
        raise AddressRefused(f"A URL has at most {MAX_LENGTH} characters, all of them visible ASCII.")
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise AddressRefused("This is not a URL.") from None
    if url.scheme not in (_PORTS if insecure else ("https",)):
        raise AddressRefused("A webhook's URL begins with https://.")
    if url.username is not None or url.password is not None:
        raise AddressRefused("A URL with a user or password is not taken: requests are signed instead.")
    if "#" in text:
        raise AddressRefused("A URL with a fragment is not taken: it would never be sent.")
    if port == 0:
        raise AddressRefused("Nobody listens on port 0.")
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    return WebhookUrl(url.scheme == "https", _host(url.hostname or "", allowed), port or _PORTS[url.scheme], path)


def _host(host: str, allowed: Sequence[Network]) -> str:
    address = literal(host)
    if address is not None:
        kind = refusal(address, allowed)
        if kind is not None:
            raise AddressRefused(f"Nothing is sent to {address}: it is not a public address ({kind}).")
        return str(address)
    normal = normalize_sni(host.removesuffix("."))
    if normal is None:
        raise AddressRefused("The URL's host is neither a full hostname (with xn-- labels if need be) nor an address.")
    return normal


def parse_mail(text: str) -> str:
    """The address with its domain in normal form. Raises AddressRefused."""
    local, at, domain = text.rpartition("@")
    normal = normalize_sni(domain) if at and domain.isascii() else None
    if len(text) > MAX_MAIL or normal is None or _LOCAL.fullmatch(local) is None:
        raise AddressRefused("This is not a mail address as name@example.com (a domain with xn-- labels if need be).")
    return f"{local}@{normal}"
