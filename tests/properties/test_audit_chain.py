"""Whatever is done to a chain, the pass over it finds something; and it finds nothing in one that was left alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from control.audit.canonical import Entry, digest, genesis, microseconds, seal
from control.audit.chain import Chain, End, Finding, Link

TENANT = UUID(int=1)
text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
entries = st.builds(
    Entry,
    id=st.just(0),
    at=st.integers(-(2**62), 2**62),
    tenant_id=st.just(TENANT),
    domain_id=st.uuids(),
    hostname=text,
    actor=text,
    action=text,
    detail=text,
)


def chain(rows: Sequence[Entry]) -> list[Link]:
    """As the log writes it: the n-th row of the chain is row 10 n of the table."""
    links, previous = [], genesis(TENANT)
    for number, row in enumerate(rows, 1):
        entry = replace(row, id=number * 10)
        links.append(Link(number, entry.id, previous, seal(previous, entry), entry))
        previous = links[-1].hash
    return links


def look(links: Sequence[Link], head: End | None, point: End | None = None) -> list[Finding]:
    one = Chain(TENANT, head, point)
    found = [finding for link in links for finding in one.follow(link)]
    found += one.end({link.hash: link.seq for link in links if link.hash in one.strays})
    return [*found, Finding("changed", TENANT, 0, 0, "rewritten")] if one.is_rewritten else found


def end(links: Sequence[Link]) -> End:
    return End(links[-1].seq, links[-1].hash)


logs = st.lists(entries, min_size=2, max_size=12).map(chain)


@given(logs, st.data())
def test_a_chain_that_was_left_alone_is_whole(links: list[Link], data: st.DataObject) -> None:
    point = data.draw(st.sampled_from(links))
    assert look(links, end(links), End(point.seq, point.hash)) == []


@given(logs, st.data(), entries)
def test_a_row_that_was_changed_is_named(links: list[Link], data: st.DataObject, other: Entry) -> None:
    at = data.draw(st.integers(0, len(links) - 1))
    entry = links[at].entry
    assert entry is not None
    changed = replace(entry, **{name: getattr(other, name) for name in data.draw(FIELDS)})
    links[at] = replace(links[at], entry=changed)
    found = [(one.code, one.first, one.last, one.audit_id) for one in look(links, end(links))]
    assert found == ([] if changed == entry else [("changed", at + 1, at + 1, (at + 1) * 10)])


FIELDS = st.sets(st.sampled_from(["at", "domain_id", "hostname", "actor", "action", "detail"]), min_size=1)


@given(logs, st.data())
def test_rows_that_were_removed_are_named(links: list[Link], data: st.DataObject) -> None:
    gone = data.draw(st.sets(st.integers(1, len(links)), min_size=1))
    head = end(links)
    found = look([link for link in links if link.seq not in gone], head)
    assert all(one.code == "removed" for one in found)
    assert {seq for one in found for seq in range(one.first, one.last + 1)} == gone


@given(logs, st.data())
def test_rows_that_were_cut_off_with_their_head_are_known_by_the_checkpoint(
    links: list[Link], data: st.DataObject
) -> None:
    point = data.draw(st.sampled_from(links[1:]))
    left = links[: data.draw(st.integers(1, point.seq - 1))]
    (found,) = look(left, end(left), End(point.seq, point.hash))
    assert (found.code, found.first, found.last) == ("removed", len(left) + 1, point.seq)


@given(logs, st.data())
def test_any_other_order_is_found(links: list[Link], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(links))))
    moved = [replace(links[old], seq=new + 1) for new, old in enumerate(order)]
    found = look(moved, end(links))
    if order == sorted(order):
        assert found == []
    else:
        assert any(one.code == "reordered" for one in found)


@given(logs, st.data())
def test_contents_that_changed_places_are_found_there(links: list[Link], data: st.DataObject) -> None:
    one, other = sorted(data.draw(st.sets(st.integers(0, len(links) - 1), min_size=2, max_size=2)))
    a, b = links[one].entry, links[other].entry
    assert a is not None
    assert b is not None
    links[one] = replace(links[one], entry=replace(b, id=a.id))
    links[other] = replace(links[other], entry=replace(a, id=b.id))
    found = {(each.code, each.first) for each in look(links, end(links))}
    same = replace(a, id=0) == replace(b, id=0)
    assert found == (set() if same else {("reordered", one + 1), ("reordered", other + 1)})


@given(logs, st.data(), entries)
def test_a_history_that_was_written_anew_is_known_by_the_checkpoint(
    links: list[Link], data: st.DataObject, other: Entry
) -> None:
    rows = [link.entry for link in links if link.entry is not None]
    at = data.draw(st.integers(0, len(rows) - 1))
    point = data.draw(st.sampled_from(links[at:]))
    anew = chain([*rows[:at], other, *rows[at + 1 :]])
    found = look(anew, end(anew), End(point.seq, point.hash))
    assert bool(found) == (anew != links)


@given(st.lists(text, max_size=6), st.lists(text, max_size=6))
def test_two_lists_of_parts_have_one_digest_only_when_they_are_one_list(one: list[str], other: list[str]) -> None:
    assert (digest(*one) == digest(*other)) == (one == other)


@given(st.integers(-(10**17), 10**17))
def test_times_are_whole_microseconds(number: int) -> None:
    sign, (whole, rest) = "-" if number < 0 else "", divmod(abs(number), 10**6)
    assert microseconds(f"{sign}{whole}.{rest:06}") == number


def test_what_is_no_time_is_none() -> None:
    assert [microseconds(one) for one in ("Infinity", "-Infinity", "NaN", None, "")] == [None] * 5
