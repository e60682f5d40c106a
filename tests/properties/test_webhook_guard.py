"""Which addresses webhooks may be sent to. Held against Python's own list of special addresses, written by others."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.outbox.guard import refusal

v4 = st.ip_addresses(v=4) | st.integers(0, 2**32 - 1).map(IPv4Address)
v6 = st.ip_addresses(v=6) | st.integers(0, 2**128 - 1).map(IPv6Address)
private = st.sampled_from(
    ["10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "0.0.0.0/8"]
).flatmap(lambda text: st.ip_addresses(network=text))


@given(v4 | v6)
def test_what_is_let_through_is_public(address) -> None:
    if refusal(address) is None:
        assert address.is_global
        assert not (
            address.is_private
            or address.is_loopback
            or address.is_link_local
            or address.is_multicast
            or address.is_reserved
            or address.is_unspecified
        )


@given(v4)
def test_a_public_ipv4_address_is_let_through(address) -> None:
    metadata = ip_address("168.63.129.16")
    relay = ip_network("192.88.99.0/24")
    ietf = ip_network("192.0.0.0/24")
    if address.is_global and not address.is_multicast and address != metadata:
        assert (refusal(address) is None) == (address not in relay and address not in ietf)


@given(st.integers(0, 2**125 - 1))
def test_nothing_but_global_unicast_ipv6_is_let_through(bits) -> None:
    for prefix in (0, 2, 3, 4, 5, 6, 7):
        assert refusal(IPv6Address(prefix << 125 | bits)) is not None


@given(private)
def test_a_private_address_is_refused_in_every_wrapping(address) -> None:
    number = int(address)
    assert refusal(address) is not None
    for wrapped in (
        IPv6Address(0xFFFF << 32 | number),  # IPv4-mapped
        IPv6Address(number),  # IPv4-compatible
        IPv6Address(0x64FF9B << 96 | number),  # NAT64, RFC 6052
        IPv6Address(0x64FF9B0001 << 80 | number),  # NAT64, local use, RFC 8215
        IPv6Address(0x2002 << 112 | number << 80 | 1),  # 6to4
        IPv6Address(0x20010000 << 96 | 0xFFFFFFFF ^ number),  # Teredo
    ):
        assert refusal(wrapped) is not None, wrapped


@pytest.mark.parametrize(
    "text",
    [
        "169.254.169.254",
        "fd00:ec2::254",
        "fe80::1%eth0",
        "2606:4700::1%eth0",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "::",
        "::1",
        "255.255.255.255",
        "ff02::1",
        "fec0::1",
        "2001:db8::1",
    ],
)
def test_known_traps_are_refused(text) -> None:
    assert refusal(ip_address(text)) is not None


@pytest.mark.parametrize("text", ["1.1.1.1", "8.8.8.8", "93.184.215.14", "2606:4700:4700::1111", "2a00:1450:4001::1"])
def test_known_public_addresses_are_let_through(text) -> None:
    assert refusal(ip_address(text)) is None


@given(v4 | v6)
def test_an_allowed_network_is_an_exception_for_itself_alone(address) -> None:
    own = ip_network(address)
    assert refusal(address, (own,)) is None
    other = ip_network("10.11.12.0/24")
    if address not in other:
        assert refusal(address, (other,)) == refusal(address)
