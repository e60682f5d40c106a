"""Any history of changes, loads, evictions and reloads: the directory never says what a table would not."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sidecar.directory.directory import NEGATIVE_SECONDS, Directory
from sidecar.directory.entry import Entry, PlatformDomain, Unknown, wildcard_of
from sidecar.directory.rows import Everything, Recent

PLATFORM = PlatformDomain("p.test")
HOSTS = ("a.x", "b.x", "t.p.test", "a.t.p.test", "p.test")
ROWS = ("a.x", "b.x", "*.x", "t.p.test")
CAPACITY = 2


class DirectoryMachine(RuleBasedStateMachine):
    """`table` is PostgreSQL; `unread` are its rows that changed since the feed last read."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.directory = Directory(PLATFORM, CAPACITY, lambda: self.now)
        self.table: dict[str, Entry] = {}
        self.unread: set[str] = set()
        self.versions = 0
        self.loads: list[tuple[Any, Any, tuple[str, ...], dict[str, Entry | None]]] = []

    def truth(self, host: str) -> Entry | None:
        for key in PLATFORM.keys(host):
            if key in self.table:
                return self.table[key]
        return None

    @rule(row=st.sampled_from(ROWS))
    def write(self, row: str) -> None:
        self.versions += 1
        platform = PLATFORM.owns(row)
        tenant = str(UUID(int=self.versions))
        self.table[row] = Entry(row, tenant, "" if platform else tenant, True, None, None, None, platform)
        self.unread.add(row)

    @rule()
    def write_all(self) -> None:
        for row in ROWS:
            self.write(row)

    @rule(row=st.sampled_from(ROWS))
    def delete(self, row: str) -> None:
        if self.table.pop(row, None) is not None:
            self.unread.add(row)

    @rule()
    def feed_reads(self) -> None:
        self.directory.apply({row: self.table.get(row) for row in self.unread})
        self.unread.clear()

    @rule()
    def swap(self) -> None:
        if len(self.table) <= CAPACITY:
            self.directory.replace(Everything(self.table))
        else:
            rows = Recent(CAPACITY)
            for row, entry in self.table.items():
                rows.put(row, entry)
            self.directory.replace(rows)
        self.unread.clear()

    @rule()
    def revise(self) -> None:
        """What is held is read anew where it is, and where there is room others are put behind it."""
        if self.directory.complete and len(self.table) > CAPACITY:
            return
        self.directory.distrust()
        everything = {**dict.fromkeys(self.directory.held()), **(self.table if self.directory.complete else {})}
        self.directory.apply({row: self.table.get(row) for row in everything})
        if not self.directory.complete:
            held = len(self.directory)
            others = {row: entry for row, entry in self.table.items() if self.directory.peek(row) is None}
            assert self.directory.fill(others) is (held + len(others) <= CAPACITY)
            assert len(self.directory) == min(CAPACITY, held + len(others))
        self.unread.clear()

    @rule(host=st.sampled_from(HOSTS))
    def load_starts(self, host: str) -> None:
        if self.directory.find(host) is Unknown.MISS:
            keys = PLATFORM.keys(host)
            context = self.directory.loading(keys)
            facts = {key: self.table.get(key) for key in keys}
            self.loads.append((context, context.__enter__(), keys, facts))

    @precondition(lambda self: self.loads)
    @rule(data=st.data())
    def load_ends(self, data: st.DataObject) -> None:
        context, load, keys, facts = self.loads.pop(data.draw(st.integers(0, len(self.loads) - 1)))
        if not load.overtaken:
            self.directory.remember(facts)
            # Nothing that the feed has told was taken back.
            for key in keys:
                if key not in self.unread and self.directory.peek(key) is not None:
                    assert self.directory.peek(key) == self.table[key]
        context.__exit__(None, None, None)

    @rule(seconds=st.sampled_from([NEGATIVE_SECONDS / 2, NEGATIVE_SECONDS]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def answers_are_those_of_the_table_as_far_as_it_was_read(self) -> None:
        for host in HOSTS:
            if self.unread.isdisjoint(PLATFORM.keys(host)):
                found, truth = self.directory.find(host), self.truth(host)
                assert found is Unknown.MISS or (None if found is Unknown.ABSENT else found) == truth

    @invariant()
    def a_complete_directory_never_needs_a_load(self) -> None:
        if self.directory.complete:
            assert all(self.directory.find(host) is not Unknown.MISS for host in HOSTS)

    @invariant()
    def the_counted_look_up_gives_the_same_answer(self) -> None:
        for host in HOSTS:
            assert self.directory.lookup(host) == self.directory.find(host)

    @invariant()
    def an_incomplete_directory_keeps_to_its_capacity(self) -> None:
        assert self.directory.complete or len(self.directory) <= CAPACITY

    def teardown(self) -> None:
        """Once everything is read, and loaded where it must be, it is the table."""
        self.feed_reads()
        for host in HOSTS:
            if self.directory.find(host) is Unknown.MISS:
                self.directory.remember({key: self.table.get(key) for key in PLATFORM.keys(host)})
            found = self.directory.find(host)
            assert (None if found is Unknown.ABSENT else found) == self.truth(host)
        for context, *_ in self.loads:
            context.__exit__(None, None, None)


DirectoryMachine.TestCase.settings = settings(max_examples=300, stateful_step_count=30, deadline=None)
TestAnyHistory = DirectoryMachine.TestCase


def test_the_models_wildcards_are_those_of_its_hosts() -> None:
    assert {wildcard_of(host) for host in ("a.x", "b.x")} <= set(ROWS)
