"""A reader that asks for what its last snapshot did not see, against servers of every temper: it misses nothing.

The server is a model: transactions that take ids early and commit late, crash, lose their last ids or commits, prune.
That PostgreSQL behaves like it is for tests/integration/sidecar/directory.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.directory.position import Change, Head, Position


@dataclass
class Server:
    next_xid: int = 10
    next_id: int = 1
    clock: int = 0
    pruned: int = 0
    open: dict[int, list[Change]] = field(default_factory=dict)
    committed: list[Change] = field(default_factory=list)
    table: dict[str, int] = field(default_factory=dict)

    def begin(self) -> None:
        self.open[self.next_xid] = []
        self.next_xid += 1

    def write(self, nth: int, key: str) -> None:
        if self.open:
            xid = sorted(self.open)[nth % len(self.open)]
            self.clock += 1
            self.open[xid].append(Change(self.next_id, xid, "domain", key, self.clock))
            self.next_id += 1

    def end(self, nth: int, *, commit: bool) -> None:
        if self.open:
            changes = self.open.pop(sorted(self.open)[nth % len(self.open)])
            if commit:
                self.committed += changes
                self.table.update((change.key, change.at) for change in changes)

    def crash(self, lost_ids: int) -> None:
        """Open transactions die; ids that no logged commit used are handed out again, row ids never."""
        self.open.clear()
        used = max((change.xid for change in self.committed), default=9)
        self.next_xid = max(used + 1, self.pruned + 1, self.next_xid - lost_ids)
        self.next_id += 32

    def prune(self, count: int) -> None:
        xmin = min(self.open, default=self.next_xid)
        gone = [change for change in sorted(self.committed) if change.xid < xmin][:count]
        self.committed = [change for change in self.committed if change not in gone]
        self.pruned = max([self.pruned, *(change.xid for change in gone)])

    def head(self) -> Head:
        return Head("feed", min(self.open, default=self.next_xid), self.next_xid, tuple(sorted(self.open)), self.pruned)


@dataclass
class Reader:
    position: Position | None = None
    known: dict[str, int] = field(default_factory=dict)
    reloads: int = 0
    applied: list[Change] = field(default_factory=list)

    def read(self, server: Server) -> None:
        head, position = server.head(), self.position
        if position is not None:
            here = {change.mark for change in server.committed}
            missing = [mark.id for mark in position.recent if mark not in here]
            if position.reason_to_reload(head, missing) is None:
                seen = position.head
                unseen = [
                    change
                    for change in server.committed
                    if change.xid >= seen.xmax or change.xid in seen.xip or change.id > position.last_id
                ]
                self.applied += unseen
                for change in unseen:
                    self.known[change.key] = server.table[change.key]
                self.position = position.advanced(head, unseen)
                return
        self.reloads += 1
        self.known = dict(server.table)
        self.position = Position(head).advanced(head, server.committed)


KEYS = st.sampled_from("abcdef")
CALM = st.one_of(
    st.tuples(st.just("begin")),
    st.tuples(st.just("write"), st.integers(0, 5), KEYS),
    st.tuples(st.just("end"), st.integers(0, 5), st.booleans()),
    st.tuples(st.just("read")),
)
ROUGH = CALM | st.tuples(st.just("crash"), st.integers(0, 5)) | st.tuples(st.just("prune"), st.integers(1, 5))


def play(steps: list[tuple[object, ...]], server: Server, reader: Reader) -> None:
    for step in steps:
        match step:
            case ("begin",):
                server.begin()
            case ("write", int(nth), str(key)):
                server.write(nth, key)
            case ("end", int(nth), bool(commit)):
                server.end(nth, commit=commit)
            case ("crash", int(lost)):
                server.crash(lost)
            case ("prune", int(count)):
                server.prune(count)
            case ("read",):
                reader.read(server)
                assert reader.known == server.table
            case _:
                raise AssertionError(step)


@given(st.lists(CALM, max_size=60))
def test_nothing_is_missed_and_nothing_is_read_twice(steps: list[tuple[object, ...]]) -> None:
    server, reader = Server(), Reader()
    reader.read(server)
    play(steps, server, reader)
    reader.read(server)
    assert reader.known == server.table
    assert reader.reloads == 1
    assert len(reader.applied) == len(set(reader.applied))


# A transaction id that was over when it was read, forgotten by a crash, and handed out again to a change.
FORGOTTEN = [("begin",), ("end", 0, False), ("read",), ("crash", 1)]
REUSED = [*FORGOTTEN, ("begin",), ("write", 0, "a"), ("end", 0, True), ("begin",)]


@example(REUSED)
@example([*FORGOTTEN, ("begin",), ("write", 0, "a"), ("end", 0, True), ("prune", 1)])
@example([("begin",), ("write", 0, "b"), ("end", 0, True), *REUSED])
@given(st.lists(ROUGH, max_size=60))
def test_nothing_is_missed_when_the_server_crashes_and_prunes(steps: list[tuple[object, ...]]) -> None:
    server, reader = Server(), Reader()
    reader.read(server)
    play(steps, server, reader)
    reader.read(server)
    assert reader.known == server.table


# A change with a lower id than others that were kept, committed after the backup was taken.
LATE = [("begin",), ("begin",), ("write", 0, "a"), ("write", 1, "b"), ("end", 1, True), ("read",)]


@example(LATE, [("end", 0, True)], [("begin",)])
@given(st.lists(CALM, max_size=40), st.lists(CALM, max_size=40), st.lists(CALM, max_size=40))
def test_a_server_that_was_restored_to_an_earlier_time_is_read_anew(
    before: list[tuple[object, ...]], lost: list[tuple[object, ...]], after: list[tuple[object, ...]]
) -> None:
    server, reader = Server(), Reader()
    play(before, server, reader)
    backup = Server(
        server.next_xid, server.next_id, 1000, server.pruned, {}, list(server.committed), dict(server.table)
    )
    play(lost, server, reader)
    reader.read(server)
    play([step for step in after if step != ("read",)], backup, reader)
    reader.read(backup)
    assert reader.known == backup.table
