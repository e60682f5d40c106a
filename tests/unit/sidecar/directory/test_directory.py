from __future__ import annotations

from sidecar.directory.directory import BUSY_NAMES, NEGATIVE_SECONDS, Directory
from sidecar.directory.entry import Entry, PlatformDomain, Unknown
from sidecar.directory.rows import Everything, Recent

TENANT, OTHER = (f"7b0f2a52-6a9c-4f0c-9a51-00000000000{n}" for n in range(2))
DOMAIN = "d0000000-0000-0000-0000-000000000001"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def entry(hostname: str, tenant: str = TENANT, *, platform: bool = False) -> Entry:
    return Entry(hostname, tenant, "" if platform else DOMAIN, True, None, None, None, platform)


def complete(*entries: Entry, capacity: int = 10) -> Directory:
    directory = Directory(PlatformDomain("platform.test"), capacity)
    directory.replace(Everything({entry.hostname: entry for entry in entries}))
    return directory


def incomplete(*entries: Entry, capacity: int = 10, clock: Clock | None = None) -> Directory:
    directory = Directory(PlatformDomain("platform.test"), capacity, clock or Clock())
    directory.apply({entry.hostname: entry for entry in entries})
    return directory


def test_an_empty_directory_knows_nothing_rather_than_that_there_is_nothing() -> None:
    directory = Directory(PlatformDomain("platform.test"), 10)
    assert directory.lookup("shop.example.com") is Unknown.MISS
    assert not directory.complete
    assert not directory.loaded
    assert directory.stale


def test_a_complete_directory_knows_what_is_absent() -> None:
    directory = complete(entry("shop.example.com"))
    assert directory.complete
    assert directory.loaded
    assert directory.lookup("shop.example.com") == entry("shop.example.com")
    assert directory.lookup("other.example.com") is Unknown.ABSENT


def test_more_busy_names_than_are_kept_at_hand_are_all_found() -> None:
    rows = [entry(f"shop-{n}.example.com") for n in range(BUSY_NAMES + 1)]
    directory = complete(*rows, capacity=BUSY_NAMES + 1)
    for _ in range(2):
        assert [directory.lookup(row.hostname) for row in rows] == rows
    directory.apply({row.hostname: None for row in rows})
    assert {directory.lookup(row.hostname) for row in rows} == {Unknown.ABSENT}


def test_the_exact_name_wins_over_the_wildcard_in_both_modes() -> None:
    rows = (entry("*.example.com"), entry("shop.example.com", OTHER))
    for directory in (complete(*rows), incomplete(*rows)):
        assert directory.lookup("shop.example.com") == rows[1]
        directory.apply({"other.example.com": None})
        assert directory.lookup("other.example.com") == rows[0]


def test_a_wildcard_does_not_reach_two_labels_nor_its_own_parent() -> None:
    directory = complete(entry("*.example.com"))
    assert directory.lookup("a.b.example.com") is Unknown.ABSENT
    assert directory.lookup("example.com") is Unknown.ABSENT


def test_no_wildcard_answers_for_the_platforms_names() -> None:
    rows = (entry("*.platform.test"), entry("*.test"))
    for directory in (complete(*rows), incomplete(*rows)):
        directory.apply({"acme.platform.test": None})
        assert directory.lookup("acme.platform.test") is Unknown.ABSENT
        assert directory.lookup("platform.test") is Unknown.ABSENT


def test_a_name_two_labels_below_the_platform_is_absent_without_a_load() -> None:
    assert incomplete().lookup("a.b.platform.test") is Unknown.ABSENT


def test_an_incomplete_directory_with_a_wildcard_asks_for_the_exact_name_first() -> None:
    directory = incomplete(entry("*.example.com"))
    assert directory.lookup("shop.example.com") is Unknown.MISS
    directory.remember({"shop.example.com": None})
    assert directory.lookup("shop.example.com") == entry("*.example.com")


def test_an_absent_name_is_forgotten_after_a_short_time() -> None:
    clock = Clock()
    directory = incomplete(clock=clock)
    directory.remember({"shop.example.com": None, "*.example.com": None})
    assert directory.lookup("shop.example.com") is Unknown.ABSENT
    clock.now += NEGATIVE_SECONDS
    assert directory.lookup("shop.example.com") is Unknown.MISS


def test_a_change_ends_an_absence_at_once_also_when_it_is_the_wildcards() -> None:
    directory = incomplete()
    directory.remember({"shop.example.com": None, "*.example.com": None})
    directory.apply({"*.example.com": entry("*.example.com")})
    assert directory.lookup("shop.example.com") == entry("*.example.com")
    directory.apply({"shop.example.com": entry("shop.example.com")})
    assert directory.lookup("shop.example.com") == entry("shop.example.com")


def test_the_least_recently_used_row_is_dropped_and_asked_for_again() -> None:
    directory = incomplete(entry("a.example.com"), entry("b.example.com"), capacity=2)
    directory.lookup("a.example.com")
    directory.apply({"c.example.com": entry("c.example.com")})
    assert directory.lookup("b.example.com") is Unknown.MISS
    assert directory.lookup("a.example.com") == entry("a.example.com")
    assert len(directory) == 2


def test_looking_without_using_does_not_keep_a_row() -> None:
    directory = incomplete(entry("a.example.com"), entry("b.example.com"), capacity=2)
    assert directory.peek("a.example.com") == entry("a.example.com")
    assert list(directory.rows()) == [entry("a.example.com"), entry("b.example.com")]
    directory.apply({"c.example.com": entry("c.example.com")})
    assert directory.peek("a.example.com") is None


def test_a_complete_directory_that_outgrows_its_capacity_says_so_and_stays_right() -> None:
    directory = complete(entry("a.example.com"), capacity=1)
    assert not directory.overflowing
    directory.apply({"b.example.com": entry("b.example.com")})
    assert directory.overflowing
    assert directory.lookup("a.example.com") == entry("a.example.com")
    assert directory.lookup("c.example.com") is Unknown.ABSENT


def test_a_change_overtakes_the_loads_of_its_rows_and_no_others() -> None:
    directory = incomplete()
    with directory.loading(("a.example.com", "*.example.com")) as first, directory.loading(("b.test",)) as second:
        directory.remember({"a.example.com": None})
        assert not first.overtaken
        directory.apply({"*.example.com": None})
        assert first.overtaken
        assert not second.overtaken


def test_swapping_the_rows_overtakes_every_load_and_forgets_absences() -> None:
    directory = incomplete()
    directory.remember({"a.b.test": None, "*.b.test": None})
    with directory.loading(("x.test",)) as load:
        directory.replace(Recent(10))
        assert load.overtaken
    assert not directory.complete
    assert directory.lookup("a.b.test") is Unknown.MISS


def test_it_is_stale_when_nothing_was_read_for_too_long_or_the_feed_says_so() -> None:
    clock = Clock()
    directory = incomplete(clock=clock)
    directory.fresh_for(15)
    clock.now += 15
    assert not directory.stale
    clock.now += 0.1
    assert directory.stale
    directory.fresh_for(15)
    directory.fresh_for(0)
    assert directory.stale


def test_rows_that_are_gone_through_slowly_are_those_of_one_directory() -> None:
    """A snapshot says of its rows that they are complete, whatever is swapped in while it is written."""
    directory = complete(entry("a.test"), entry("b.test"), entry("c.test"))
    rows = directory.rows()
    assert next(rows) == entry("a.test")
    directory.apply({"b.test": None})
    directory.replace(Recent(10))
    assert list(rows) == [entry("c.test")]


def test_answers_are_counted_by_kind() -> None:
    directory = complete(entry("*.example.com"))
    for host in ("a.example.com", "b.example.com", "x.test"):
        directory.lookup(host)
    assert (directory.hits, directory.negatives, directory.misses) == (2, 1, 0)
    directory.find("a.example.com")
    assert directory.hits == 2
