from __future__ import annotations

import pytest

from sidecar.directory.position import Change, Head, Position


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


def test_the_last_change_is_the_one_with_the_highest_id_whatever_the_order() -> None:
    position = Position(head()).advanced(head(), [change(3, 50), change(7, 40), change(5, 60)])
    assert position.last == change(7, 40).mark
    assert position.advanced(head(), [change(6, 70)]).last == change(7, 40).mark
    assert position.advanced(head(), []).last == change(7, 40).mark


def test_a_server_that_went_on_is_followed() -> None:
    assert Position(head(100)).reason_to_reload(head(120, 130, (120,)), knows_last=True) is None


@pytest.mark.parametrize(
    ("now", "knows_last", "reason"),
    [
        (head(100, feed="restored"), True, "another_feed"),
        (head(90, 99), True, "server_went_back"),
        (head(200, 200, pruned=40), True, "server_went_back"),
        (head(200, 200, pruned=100), True, "changes_pruned"),
        (head(200, 200, pruned=150), False, "changes_pruned"),
        (head(200, 200, pruned=60), False, "server_lost_changes"),
    ],
)
def test_a_server_that_cannot_be_followed_says_why(now: Head, knows_last: bool, reason: str) -> None:
    seen = Position(head(100, 110, (100,), pruned=50), change(7, 99).mark)
    assert seen.reason_to_reload(now, knows_last) == reason


def test_pruning_older_changes_than_the_last_one_read_is_no_reason() -> None:
    seen = Position(head(100, pruned=50), change(7, 99).mark)
    assert seen.reason_to_reload(head(200, 200, pruned=90), knows_last=True) is None


def test_pruning_the_last_change_read_may_have_taken_later_ones_too() -> None:
    """Their transactions may have had ids that a crashed server forgot it had used, below the position."""
    seen = Position(head(100, pruned=50), change(7, 99).mark)
    assert seen.reason_to_reload(head(200, 200, pruned=99), knows_last=False) == "changes_pruned"
    # Once: after the reload that pruning is known.
    assert Position(head(200, 200, pruned=99)).reason_to_reload(head(210, 210, pruned=99), knows_last=False) is None


def test_pruning_is_a_reason_once_though_an_old_transaction_holds_the_position() -> None:
    """Otherwise a transaction that is open for longer than changes are kept would mean a reload at every read."""
    seen = Position(head(100, 300, (100,), pruned=200), change(7, 250).mark)
    assert seen.reason_to_reload(head(100, 310, (100,), pruned=200), knows_last=True) is None
    assert seen.reason_to_reload(head(100, 310, (100,), pruned=201), knows_last=True) == "changes_pruned"
