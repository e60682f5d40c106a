"""Whose certificate is rejected: by the rows that secrets are of, and what concerns everybody."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from scenes.checks import DOMAINS, TENANTS
from scenes.explained import Room

from core.feed import REJECTED_LIMIT, Rejected, Sighting, digest_of
from sidecar.edge.model import ClientAuth, Edge
from sidecar.xds.proof import LOOKED_AT, Proof
from sidecar.xds.types import CLUSTER, LISTENER

AUTH = ClientAuth(DOMAINS[0], TENANTS[0], "shop.mybrand.co", True, True, (), None, b"", None)


@dataclass
class Streams:
    secrets: dict[str, int] = field(default_factory=dict)
    others: dict[str, dict[str, str]] = field(default_factory=dict)
    on_progress: Callable[[], None] = lambda: None
    marked: int = 0

    def mark(self, revision: int) -> None:
        self.marked = revision

    def acknowledged(self) -> Sequence[int]:
        return [self.marked]

    def rejections(self) -> dict[str, int]:
        return self.secrets

    def rejected(self, type_url: str) -> dict[str, str]:
        return self.others.get(type_url, {})


def rejected(streams: Streams) -> Rejected:
    room = Room(edge=Edge(client_auth={DOMAINS[0]: AUTH}))
    counted = room.directory.hits, room.directory.misses, room.directory.negatives
    found = Proof(streams, room.directory, room.edges).rejected()
    assert counted == (room.directory.hits, room.directory.misses, room.directory.negatives)
    return found


def test_a_certificate_counts_for_its_row_however_it_was_asked_for() -> None:
    found = rejected(Streams({"shop.mybrand.co": 1, "SHOP.mybrand.co": 2, "a.wild.example": 1, "B.wild.example": 1}))
    assert found == Rejected({digest_of("shop.mybrand.co"): 2, digest_of("*.wild.example"): 1})
    assert found.of("other.mybrand.co") == 0


def test_client_authorities_count_for_their_domain() -> None:
    assert rejected(Streams({f"client-ca/{DOMAINS[0]}": 1})).of("shop.mybrand.co") == 1
    assert rejected(Streams({f"client-ca/{DOMAINS[1]}": 1})).of("shop.mybrand.co") == 0


def test_what_is_no_domains_own_concerns_all() -> None:
    for name in ("default", "upstream/default", "upstream-ca/default"):
        assert rejected(Streams({name: 3})) == Rejected({}, 3)
    for type_url in (CLUSTER, LISTENER):
        assert rejected(Streams(others={type_url: {"https": "odd"}})).of("any.example") == 1


def test_more_than_there_is_room_for_may_be_anybodys() -> None:
    many = {f"s{n}.example": 1 + n % 4 for n in range(LOOKED_AT + 1)}
    found = rejected(Streams(many))
    assert (found.others, len(found.by_digest)) == (4, LOOKED_AT)
    told = Sighting.from_payload(Sighting("one", 7, (), (), found).to_payload()).rejected
    assert (told.others, len(told.by_digest)) == (4, REJECTED_LIMIT)
    assert told.of("nobody.example") == 4


def test_a_mark_goes_to_the_streams_and_their_progress_to_who_watches() -> None:
    streams, seen = Streams(), []
    proof = Proof(streams, Room().directory, Room().edges)
    proof.watch(lambda: seen.append(1))
    proof.mark(7)
    streams.on_progress()
    assert (proof.acknowledged(), seen) == ([7], [1])
