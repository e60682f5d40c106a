from __future__ import annotations

import pytest

from sidecar.directory.position import RECENT_LIMIT, Change, Head, Position


def head(xmin: int = 100, xmax: int = 100, xip: tuple[int, ...] = (), *, pruned: int = 0, feed: str = "feed") -> Head:
    return Head(feed, xmin, xmax, xip, pruned)


def change(id: int, xid: int) -> Change:
    return Change(id, xid, "domain", "a.test", 1_700_000_000_000_000 + id)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("10:20:10,14,15", head(10, 20, (10, 14, 15))), ("10:10:", head(10, 10))],
)
def test_a_snapshot_is_read_from_its_text(text: str, expected: Head) -> None:
    assert Head.parse("feed", text, 0) == expected


@pytest.mark.parametrize("text", ["", "1:2", "a:b:c", "1:2:x"])
def test_what_is_no_snapshot_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Head.parse("feed", text, 0)


def test_the_highest_id_and_what_was_read_last_are_kept() -> None:
    position = Position(head()).advanced(head(), [change(3, 50), change(7, 40), change(5, 60)])
    assert position.last_id == 7
    assert [mark.id for mark in position.recent] == [3, 5, 7]
    position = position.advanced(head(110), [change(6, 70)])
    assert position.last_id == 7
    assert [mark.id for mark in position.recent] == [3, 5, 7, 6]
    assert position.advanced(head(120), []) == Position(head(120), 7, position.recent)


def test_only_so_many_recent_changes_are_kept() -> None:
    position = Position(head()).advanced(head(), [change(id, 50) for id in range(RECENT_LIMIT + 5)])
    position = position.advanced(head(), [change(2, 60)])
    assert len(position.recent) == RECENT_LIMIT
    assert position.recent[-1] == change(2, 60).mark
    assert position.recent[0].id == 6


def test_a_server_that_went_on_is_followed() -> None:
    assert Position(head(100)).reason_to_reload(head(120, 130, (120,))) is None


SEEN = Position(head(100, 110, (100,), pruned=50)).advanced(
    head(100, 110, (100,), pruned=50), [change(7, 98), change(8, 99)]
)


@pytest.mark.parametrize(
    ("now", "missing", "reason"),
    [
        (head(100, feed="restored"), (), "another_feed"),
        (head(90, 99), (), "server_went_back"),
        (head(200, 200, pruned=40), (), "server_went_back"),
        (head(200, 200, pruned=100), (), "changes_pruned"),
        (head(200, 200, pruned=99), (7, 8), "changes_pruned"),
        (head(200, 200, pruned=50), (7, 8), "server_lost_changes"),
        (head(200, 200, pruned=98), (7, 8), "changes_pruned"),
        (head(200, 200, pruned=98), (8,), "server_lost_changes"),
        (head(200, 200, pruned=98), (7,), None),
        (head(200, 200, pruned=60), (), None),
    ],
)
def test_a_server_that_cannot_be_followed_says_why(now: Head, missing: tuple[int, ...], reason: str | None) -> None:
    assert SEEN.reason_to_reload(now, missing) == reason


def test_pruning_when_no_change_was_ever_seen_took_unseen_ones() -> None:
    assert Position(head(100)).reason_to_reload(head(200, 200, pruned=60)) == "changes_pruned"


def test_a_pruning_is_a_reason_once() -> None:
    """Else a transaction that is open for longer than changes are kept would mean a reload at every read."""
    seen = Position(head(100, 300, (100,), pruned=200)).advanced(head(100, 300, (100,), pruned=200), [change(7, 250)])
    assert seen.reason_to_reload(head(100, 310, (100,), pruned=200)) is None
    assert seen.reason_to_reload(head(100, 310, (100,), pruned=201)) == "changes_pruned"
