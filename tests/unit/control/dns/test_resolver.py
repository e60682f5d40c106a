import pytest

from control.dns.resolver import Resolver, resolvers


@pytest.mark.parametrize(
    ("text", "address", "port"),
    [
        ("192.0.2.1", "192.0.2.1", 53),
        ("192.0.2.1:5353", "192.0.2.1", 5353),
        ("2001:db8::1", "2001:db8::1", 53),
        ("[2001:db8::1]", "2001:db8::1", 53),
        ("[2001:db8::1]:5353", "2001:db8::1", 5353),
        ("::1", "::1", 53),
    ],
)
def test_an_address_may_have_a_port(text: str, address: str, port: int) -> None:
    resolver = Resolver.parse(text)
    assert (resolver.address, resolver.port) == (address, port)


@pytest.mark.parametrize(
    "text", ["", "dns.example.com:53", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536", "[192.0.2", "192.0.2.1:53:53"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Resolver.parse(text)


def test_a_resolver_is_named_as_it_is_configured() -> None:
    assert Resolver.parse("192.0.2.1").name == "192.0.2.1:53"
    assert Resolver.parse("[2001:db8::1]:5353").name == "[2001:db8::1]:5353"


def test_a_resolver_given_twice_is_asked_once() -> None:
    assert resolvers(["192.0.2.1", "192.0.2.1:53", "192.0.2.2"]) == (Resolver("192.0.2.1"), Resolver("192.0.2.2"))
