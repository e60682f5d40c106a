"""What an upstream is called: the host that is dialled, and the name that its certificate must have.

Hostnames here are the platform's own, so they are not held to the rules for tenants' names: `backend`,
`shop_api.internal` and `shop.svc.cluster.local.` are fine.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Literal

MAX_HOST = 253
MAX_URI = 2_048

_LABEL = r"(?![-_])[a-z0-9_-]{1,63}+(?<!-)"
# The last label is no number: inet_aton and browsers read such a host as an IPv4 address (127.1, 0x7f.1).
_NUMBER = r"(?:[0-9]+|0x[0-9a-f]*)"
# No possessive group: see core.hostname.
_HOST = re.compile(rf"(?:{_LABEL}\.)*(?!{_NUMBER}\Z){_LABEL}", re.ASCII)
# RFC 3986, as a subject alternative name has it (RFC 5280, 4.2.1.6): a scheme and an authority.
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[A-Za-z0-9._~:@%\[\]-]+(?:/[A-Za-z0-9._~:@!$&'()*+,;=%/-]*)?")


def host_kind(host: str) -> Literal["ip", "name"] | None:
    """Of a host in lower case; None: neither. An address that stands for none, or for many, is no host's."""
    try:
        address = ip_address(host)
    except ValueError:
        name = host.removesuffix(".")
        return "name" if len(name) <= MAX_HOST and _HOST.fullmatch(name) is not None else None
    scoped = getattr(address, "scope_id", None) is not None
    return None if address.is_unspecified or address.is_multicast or scoped else "ip"


def normal_host(text: str) -> str | None:
    """The one spelling of a host: a name in lower case, an IP address in its shortest form. None: it is neither."""
    host = text.lower()
    match host_kind(host):
        case "ip":
            return str(ip_address(host))
        case "name":
            return host
        case None:
            return None


def tls_name_kind(name: str) -> Literal["dns", "ip", "uri"] | None:
    """Which kind of subject alternative name it is; None: none. A DNS name may begin with a wildcard label."""
    lowered = name.lower()
    base = lowered.removeprefix("*.")
    kind = host_kind(base)
    if kind == "name" and not base.endswith("."):
        return "dns" if base == lowered or "." in base else None
    if kind == "ip" and base == lowered:
        return "ip"
    return "uri" if len(name) <= MAX_URI and _URI.fullmatch(name) is not None else None
