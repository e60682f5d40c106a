"""Rows of the edge: whatever is in them, they become an edge in which nobody is let in by what could not be read."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenes.edges import BUNDLES, EDGES, LISTS, SPEC, UUIDS, sample

from sidecar.edge import rows
from sidecar.edge.model import BELOW, CHOICE, CLIENT_AUTH, CONSUMER, IDENTITY, SERVICE, TRUST, Edge
from sidecar.edge.rows import BEYOND, NOWHERE, TABLES, build, rows_of

TENANT, DOMAIN, OTHER = (f"00000000-0000-0000-0000-00000000000{number}" for number in (1, 2, 3))

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
plausible = anything | UUIDS | st.sampled_from(["a", "default", "required", json.dumps(SPEC), *BUNDLES, LISTS[0]])
any_rows = st.lists(
    st.sampled_from(sorted(TABLES)).flatmap(
        lambda table: st.tuples(
            st.just(table), st.lists(plausible, min_size=TABLES[table].columns, max_size=TABLES[table].columns)
        )
    ),
    max_size=6,
)


@given(EDGES)
def test_an_edge_is_the_rows_that_are_made_of_it(edge: Edge) -> None:
    assert build(rows_of(edge)) == edge


@given(EDGES, EDGES)
def test_what_was_before_makes_no_difference_but_that_equal_things_are_the_same(before: Edge, edge: Edge) -> None:
    again = build(rows_of(edge), before)
    assert again == edge
    for was, now in ((before.services, again.services), (before.trust, again.trust)):
        assert all(was[name] is now[name] for name in was.keys() & now.keys() if was[name] == now[name])
    for name in before.client_auth.keys() & again.client_auth.keys():
        equal = before.client_auth[name] == again.client_auth[name]
        assert equal is (before.client_auth[name] is again.client_auth[name])
    unchanged = build(rows_of(again), again)
    assert all(getattr(unchanged, each.name) is getattr(again, each.name) for each in fields(Edge))


@given(any_rows)
def test_any_rows_become_an_edge_and_each_is_in_it_or_left_out(found: list[tuple[str, list[Any]]]) -> None:
    edge = build(found)
    assert build(rows_of(edge)) == edge
    for table, row in found:
        kind, name = TABLES[table].kind, str(row[1] if table == "choices" and row[1] is not None else row[0])
        held = {
            SERVICE: edge.services,
            TRUST: edge.trust,
            IDENTITY: edge.identities,
            CHOICE: edge.by_tenant if row[1] is None else edge.by_domain,
            CLIENT_AUTH: edge.client_auth,
            BELOW: edge.below,
            CONSUMER: {each.id for several in edge.consumers.values() for each in several},
        }[kind]
        assert name in held or (kind, name) in edge.left_out
        if kind == CLIENT_AUTH:
            assert name in edge.client_auth or edge.is_shut(name)


BAD = [
    ("services", ["shop", "{"], (SERVICE, "shop"), "unreadable"),
    ("services", ["shop", json.dumps({**SPEC, "colour": 1})], (SERVICE, "shop"), "unknown_field"),
    ("services", ["Shop", json.dumps(SPEC)], (SERVICE, "Shop"), "name_invalid"),
    ("services", ["shop", "[" * 100_000], (SERVICE, "shop"), "unreadable"),
    ("trust", ["roots", "no PEM"], (TRUST, "roots"), "trust_unreadable"),
    ("identities", ["a", "AB" * 32, 1, 2e9], (IDENTITY, "a"), "unreadable"),
    ("identities", ["a", "ab" * 32, None, 2e9], (IDENTITY, "a"), "unreadable"),
    ("identities", ["a", "ab" * 32, 1, float("inf")], (IDENTITY, "a"), "unreadable"),
    ("choices", [TENANT, DOMAIN, "a\nb"], (CHOICE, DOMAIN), "unreadable"),
    ("below", [OTHER, "a.m.test"], (BELOW, OTHER), "unreadable"),
    ("below", [OTHER, ["a.m.test", None]], (BELOW, OTHER), "unreadable"),
    ("consumers", [OTHER, TENANT, "n", "san", "v", "abc"], (CONSUMER, OTHER), "unreadable"),
    ("consumers", [OTHER, TENANT, "n", "san", "v", None], (CONSUMER, OTHER), "unreadable"),
]
AUTH = [DOMAIN, TENANT, "m.test", "required", True, ["san"], None, BUNDLES[0], None]
BAD_AUTH = {3: "sometimes", 4: 1, 5: None, 6: 7, 7: "no PEM", 8: "no PEM", 1: "nobody", 2: None}


@pytest.mark.parametrize(("table", "row", "name", "reason"), BAD)
def test_a_bad_row_is_left_out_with_its_reason_and_takes_nothing_else_with_it(
    table: str, row: list[Any], name: tuple[str, str], reason: str
) -> None:
    good = sample()
    edge = build([*rows_of(good), (table, row)])
    assert edge.left_out[name].startswith(reason)
    assert edge.services == good.services
    assert edge.client_auth == good.client_auth


@pytest.mark.parametrize("column", sorted(BAD_AUTH))
def test_a_domain_whose_client_authentication_cannot_be_read_is_shut(column: int) -> None:
    row = list(AUTH)
    row[column] = BAD_AUTH[column]
    edge = build([("client_auth", row)])
    assert edge.is_shut(DOMAIN)
    assert DOMAIN not in edge.client_auth
    assert not build([("client_auth", AUTH)]).is_shut(DOMAIN)


def test_whoever_has_chosen_what_cannot_be_read_is_sent_nowhere() -> None:
    edge = build([("choices", [TENANT, None, "shop"]), ("choices", [TENANT, DOMAIN, "NO SUCH"])])
    assert edge.service_of(TENANT, DOMAIN) == NOWHERE
    assert edge.service_of(TENANT, OTHER) == "shop"
    assert edge.service_of(OTHER, "") == "default"


def test_no_more_rows_are_used_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    limited = rows.Table(SERVICE, 2, 2, TABLES["services"].read)
    monkeypatch.setitem(rows.TABLES, "services", limited)  # type: ignore[arg-type]
    edge = build([("services", [name, json.dumps(SPEC)]) for name in "abc"])
    assert set(edge.services) == {"a", "b"}
    assert edge.left_out[SERVICE, BEYOND].startswith("too_many")


@given(EDGES, EDGES)
def test_a_mapping_that_stayed_as_it_was_is_the_very_same(before: Edge, edge: Edge) -> None:
    again = build(rows_of(edge), before)
    for field in fields(Edge):
        was, now = getattr(before, field.name), getattr(again, field.name)
        assert (was is now) is (was == now) or field.name == "consumers"
