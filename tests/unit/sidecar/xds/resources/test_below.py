"""Which wildcards have a chain of their own, if many names below them are registered by themselves."""

from __future__ import annotations

from uuid import UUID

import pytest
from scenes.client_certificates import Authority
from scenes.edges import client_auth

from sidecar.edge.model import BELOW, CLIENT_AUTH, Edge
from sidecar.xds.resources import build
from sidecar.xds.resources.build import Builder, Built
from sidecar.xds.resources.plan import ListenerPlan
from sidecar.xds.types import LISTENER

PEM = Authority.root("Root", 1).pem


def edge(**wildcards: int) -> Edge:
    """`a=3`: *.a.test, with three names below it."""
    ids = {letter: str(UUID(int=ord(letter))) for letter in wildcards}
    return Edge(
        client_auth={one: client_auth(one, PEM, hostname=f"*.{letter}.test") for letter, one in ids.items()},
        below={
            one: tuple(f"n{number}.{letter}.test" for number in range(wildcards[letter])) for letter, one in ids.items()
        },
    )


def left_out(built: Built) -> str:
    return "".join(sorted(chr(UUID(name).int) for kind, name in built.left_out if kind == CLIENT_AUTH))


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "MOST_BELOW", 3)
    monkeypatch.setattr(build, "MOST_BELOW_ALL", 5)


@pytest.mark.parametrize(
    ("wildcards", "expected"),
    [
        ({"a": 3, "b": 0}, ""),
        ({"a": 4, "b": 1}, "a"),
        ({"a": 3, "b": 2, "c": 0}, ""),
        ({"a": 3, "b": 2, "c": 1}, "a"),
        ({"a": 3, "b": 3}, "b"),
        ({"a": 4, "b": 4, "c": 3}, "ab"),
    ],
)
def test_a_wildcard_with_too_many_names_below_has_no_chain_and_takes_none_of_them(
    wildcards: dict[str, int], expected: str
) -> None:
    built = Builder(ListenerPlan()).build(edge(**wildcards))
    assert left_out(built) == expected
    https = built.resources[LISTENER]["https"].resource
    for letter, number in wildcards.items():
        has_chain = letter not in expected
        assert (f"client/{UUID(int=ord(letter))}".encode() in https) is has_chain
        assert (f"n0.{letter}.test".encode() in https) is (has_chain and number > 0)


def test_a_wildcard_whose_names_below_cannot_be_read_has_no_chain() -> None:
    before = edge(a=1, b=1)
    unread = Edge(client_auth=before.client_auth, left_out={(BELOW, str(UUID(int=ord("a")))): "unreadable"})
    assert left_out(Builder(ListenerPlan()).build(unread)) == "a"


def test_the_listener_is_the_same_until_a_name_comes_or_goes() -> None:
    builder = Builder(ListenerPlan())
    first = builder.build(edge(a=2, b=1)).resources[LISTENER]["https"]
    assert builder.build(edge(b=1, a=2)).resources[LISTENER]["https"] == first
    assert builder.build(edge(a=3, b=1)).resources[LISTENER]["https"] != first
    assert builder.build(edge(a=2, b=1)).resources[LISTENER]["https"] == first
