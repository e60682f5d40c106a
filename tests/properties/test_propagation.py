"""Counting what sidecars say of a change, against a plain reading of the same sightings."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from control.certificates.propagation import HEARD_ALL, Propagation, Seen
from core.feed import SIGHTING_LIFETIME, Reached, Rejected, Sighting, digest_of
from sidecar.directory.reached import Marks

HOSTNAME = "shop.example.com"
xids = st.integers(0, 40)
few = st.lists(xids, max_size=4).map(tuple)
groups = st.lists(st.builds(Reached, st.integers(0, 5), xids, few), max_size=3).map(tuple)
rejections = st.builds(
    Rejected,
    st.dictionaries(st.sampled_from([digest_of(HOSTNAME), digest_of("other.example.com")]), st.integers(0, 5)),
    st.integers(0, 2),
)
sightings = st.builds(
    Sighting, st.sampled_from(["one", "two", "three"]), xids, few, st.none() | groups, st.just(Rejected()) | rejections
)


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.tuples(sightings, st.floats(0, SIGHTING_LIFETIME * 0.75)), max_size=12), xids)
def test_replicas_that_heard_the_same_count_the_same_and_the_last_word_of_the_living_counts(
    said: list[tuple[Sighting, float]], xid: int
) -> None:
    clock = Clock()
    replicas = [Propagation(clock), Propagation(clock)]
    last: dict[str, tuple[Sighting, float]] = {}
    for sighting, pause in said:
        for replica in replicas:
            replica.heard(sighting.to_payload())
        last[sighting.sidecar] = (sighting, clock.now)
        clock.now += pause
    one, other = (replica.seen(xid, HOSTNAME) for replica in replicas)
    assert one == other
    living = [sighting for sighting, at in last.values() if clock.now - at <= SIGHTING_LIFETIME]
    assert one.known == len(living)
    assert one.seen == sum(xid < sighting.position or xid in sighting.ahead for sighting in living)
    envoys = [group for sighting in living for group in sighting.envoys or ()]
    assert one.connected == sum(group.envoys for group in envoys)
    assert one.reached == sum(group.envoys for group in envoys if xid < group.position or xid in group.ahead)
    assert one.silent == sum(sighting.envoys is None for sighting in living)
    assert 0 <= one.acknowledged <= one.reached <= one.connected
    assert 0 <= one.rejected <= sum(sighting.rejected.of(HOSTNAME) for sighting in living)
    if one.complete:
        assert living
        assert clock.now >= 1000.0 + HEARD_ALL
        assert all(sighting.has_seen(xid) and sighting.envoys is not None for sighting in living)
        assert one.acknowledged == one.connected
        assert all(sighting.rejected.of(HOSTNAME) == 0 or sighting.connected == 0 for sighting in living)


@given(st.lists(sightings, max_size=6), xids)
def test_without_a_hostname_no_rejection_is_counted(said: list[Sighting], xid: int) -> None:
    propagation = Propagation(Clock())
    for sighting in said:
        propagation.heard(sighting.to_payload())
    assert propagation.seen(xid).rejected == 0


def test_nothing_is_proven_by_nobody() -> None:
    assert Propagation(Clock()).seen(1, HOSTNAME) == Seen(0, 0)
    assert not Propagation(Clock()).seen(1, HOSTNAME).complete


def test_a_replica_that_has_just_begun_to_listen_knows_that_there_may_be_others() -> None:
    clock = Clock()
    propagation = Propagation(clock)
    payload = Sighting("one", 8, (), ()).to_payload()
    for _ in range(2):
        propagation.heard(payload)
        assert propagation.seen(7).settled
        assert not propagation.seen(7).complete
        clock.now += HEARD_ALL
        propagation.heard(payload)
        assert propagation.seen(7).complete
        propagation.listening()  # connected again


revisions = st.lists(st.tuples(st.integers(0, 2), xids, few), max_size=10)


@given(revisions, st.lists(st.integers(0, 20), max_size=10))
def test_each_envoy_is_where_the_feed_was_at_its_revision(
    steps: list[tuple[int, int, tuple[int, ...]]], acknowledged: list[int]
) -> None:
    marks, revision = Marks(), 0
    known: dict[int, tuple[int, tuple[int, ...]]] = {}
    for step, position, ahead in steps:
        revision += step
        marks.put(revision, position, ahead)
        known[revision] = position, ahead
    reached = marks.reached(acknowledged)
    assert sum(group.envoys for group in reached) == len(acknowledged)
    expected = sorted(known.get(one, (0, ())) for one in acknowledged)
    assert sorted((group.position, group.ahead) for group in reached for _ in range(group.envoys)) == expected
