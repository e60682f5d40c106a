from __future__ import annotations

from collections.abc import Callable

import pytest
from cachetools import LRUCache
from hypothesis import given
from hypothesis import strategies as st

from sidecar.directory.entry import Entry
from sidecar.directory.rows import Everything, Recent, Rows

TENANTS = [f"7b0f2a52-6a9c-4f0c-9a51-00000000000{n}" for n in range(10)]
NAMES = st.sampled_from("abcdef")


def row(hostname: str, tenant: int = 0) -> Entry:
    return Entry(hostname, TENANTS[tenant], TENANTS[0], True, None, None, None, platform=False)


STEPS = st.one_of(
    st.tuples(st.just("put"), NAMES, st.integers(0, 9)),
    st.tuples(st.sampled_from(["get", "peek", "drop"]), NAMES, st.just(0)),
)


@given(steps=st.lists(STEPS), capacity=st.integers(1, 4))
def test_the_rows_used_last_are_those_that_cachetools_would_keep(
    steps: list[tuple[str, str, int]], capacity: int
) -> None:
    rows, model = Recent(capacity), LRUCache[str, Entry](capacity)
    for step, name, tenant in steps:
        match step:
            case "put":
                rows.put(name, row(name, tenant))
                model[name] = row(name, tenant)
            case "get":
                assert rows.get(name) == model.get(name)
            case "peek":
                rows.peek(name)  # is no use of it
            case _:
                rows.drop(name)
                model.pop(name, None)
        assert set(rows) == set(model)
        assert len(rows) == len(model)
    assert {name: rows.peek(name) for name in rows} == {name: model[name] for name in list(model)}


@pytest.mark.parametrize("make", [Everything, lambda: Recent(9)])
@given(steps=st.lists(STEPS))
def test_rows_are_a_dict_as_long_as_they_fit(make: Callable[[], Rows], steps: list[tuple[str, str, int]]) -> None:
    rows = make()
    model: dict[str, Entry] = {}
    for step, name, tenant in steps:
        match step:
            case "put":
                rows.put(name, row(name, tenant))
                model[name] = row(name, tenant)
            case "get":
                assert rows.get(name) is rows.get(name)
                assert rows.get(name) == model.get(name)
            case "peek":
                assert rows.peek(name) == model.get(name)
            case _:
                rows.drop(name)
                model.pop(name, None)
        assert set(rows) == set(model)
        assert len(rows) == len(model)


def test_a_row_that_nobody_used_yet_goes_first_and_makes_nobody_go() -> None:
    rows = Recent(2)
    rows.put("a", row("a"))
    assert rows.put_last("b", row("b"))
    assert not rows.put_last("c", row("c"))
    rows.put("d", row("d"))
    assert set(rows) == {"a", "d"}
