"""The index of subscribed names says the same as looking through all of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.hostname import normalize_sni
from sidecar.xds.index import Index

labels = st.sampled_from(["a", "B", "c"])
hosts = st.lists(labels, min_size=1, max_size=4).map(".".join)
asks = st.tuples(st.integers(0, 2), hosts | st.sampled_from(["default", "client-ca/x", "a..b", "a.b."]))
steps = st.lists(st.tuples(st.booleans(), asks), max_size=40)
changes = st.sets(hosts.map(str.lower) | hosts.map(lambda host: "*." + host.lower()), max_size=3)


def affects(hostname: str, host: str) -> bool:
    return hostname == (host if not hostname.startswith("*.") else "*." + host.partition(".")[2])


@given(steps, changes)
def test_a_change_affects_the_names_that_it_can_answer(
    steps: list[tuple[bool, tuple[int, str]]], changes: set[str]
) -> None:
    index: Index[int] = Index()
    subscribed: set[tuple[int, str]] = set()
    for add, (stream, name) in steps:
        if add:
            index.add(stream, name)
            subscribed.add((stream, name))
        else:
            index.discard(stream, name)
            subscribed.discard((stream, name))
    expected = {
        (stream, name)
        for stream, name in subscribed
        if (host := normalize_sni(name)) is not None and any(affects(hostname, host) for hostname in changes)
    }
    found = [(stream, name) for stream, names in index.affected(changes).items() for name in names]
    assert set(found) == expected
    for stream, name in subscribed:
        index.discard(stream, name)
    assert len(index) == 0
    assert not index._asks
    assert not index._children
