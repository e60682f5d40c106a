"""Which IP addresses a webhook may be sent to: public ones, and nothing that is ours or leads to what is ours.

No I/O, and total. IPv4 is all but what IANA lists as special; IPv6 is the global unicast block without what is special
in it, so that mapped, translated (NAT64), unique local, link-local and multicast addresses are refused by not being in
it. Sources: https://www.iana.org/assignments/iana-ipv4-special-registry, …/iana-ipv6-special-registry
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_SPECIAL: Mapping[str, str] = {
    "0.0.0.0/8": "unspecified",
    "10.0.0.0/8": "private",
    "100.64.0.0/10": "shared (CGNAT)",
    "127.0.0.0/8": "loopback",
    "168.63.129.16/32": "a cloud's metadata service",
    "169.254.0.0/16": "link-local",
    "172.16.0.0/12": "private",
    "192.0.0.0/24": "reserved",
    "192.0.2.0/24": "documentation",
    "192.88.99.0/24": "6to4",
    "192.168.0.0/16": "private",
    "198.18.0.0/15": "benchmarking",
    "198.51.100.0/24": "documentation",
    "203.0.113.0/24": "documentation",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved",
    "::/128": "unspecified",
    "::1/128": "loopback",
    "::ffff:0:0/96": "IPv4-mapped",
    "64:ff9b::/96": "NAT64",
    "64:ff9b:1::/48": "NAT64",
    "2001::/23": "reserved",  # with Teredo, which embeds IPv4 addresses
    "2001:db8::/32": "documentation",
    "2002::/16": "6to4",
    "3fff::/20": "documentation",
    "fc00::/7": "private",
    "fe80::/10": "link-local",
    "ff00::/8": "multicast",
}
_NETWORKS: Sequence[tuple[Network, str]] = tuple((ip_network(text), kind) for text, kind in _SPECIAL.items())
_GLOBAL_UNICAST = IPv6Network("2000::/3")  # all that was ever given out


def refusal(address: Address, allowed: Sequence[Network] = ()) -> str | None:
    """What kind of address it is that nothing is sent to; None: something may be. `allowed`: exceptions."""
    if any(address in network for network in allowed):
        return None
    for network, kind in _NETWORKS:
        if address in network:
            return kind
    if isinstance(address, IPv6Address) and (address not in _GLOBAL_UNICAST or address.scope_id is not None):
        return "reserved"
    return None


def literal(host: str) -> Address | None:
    """The address that a URL's host is, without brackets; None: it is a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None
