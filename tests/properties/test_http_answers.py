"""What the HTTP client's connection makes of any octets, in any pieces."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sidecar.certs.connection import Answer, BadAnswer, Connection, ConnectionCut, HttpError


class Wire(asyncio.Transport):
    """The end of a transport that only knows whether it is closing."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.ended

    def is_closing(self) -> bool:
        return self.ended

    def abort(self) -> None:
        self.ended = True


def ask(pieces: Sequence[bytes]) -> tuple[Answer | HttpError, bool]:
    """The outcome of one exchange on a new connection that ends after the pieces; usable before it ended?"""

    async def run() -> tuple[Answer | HttpError, bool]:
        connection, wire = Connection(), Wire()
        connection.connection_made(wire)
        asking = asyncio.create_task(connection.exchange(b"?"))
        await asyncio.sleep(0)
        for piece in pieces:
            if not wire.ended:
                connection.data_received(piece)
        usable = connection.usable
        connection.connection_lost(None)
        assert connection.lost.done()
        assert not connection.usable
        try:
            return await asking, usable
        except HttpError as error:
            return error, usable

    return asyncio.run(run())


def cut(octets: bytes, places: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(octets) + 1) for place in places), len(octets)]
    return [octets[start:end] for start, end in pairwise(edges) if start < end]


@st.composite
def answers(draw: st.DrawFn) -> tuple[bytes, Answer, bool]:
    """Octets, what they say, and whether the connection may go on."""
    status = draw(st.sampled_from([200, 201, 307, 400, 403, 404, 500, 503]))
    body = draw(st.binary(max_size=200))
    location = draw(st.sampled_from([None, b"/x", b"https://vault:8200/v1/x?y=1"]))
    keep = draw(st.booleans())
    lines = [b"HTTP/1.1 %d Any" % status, b"content-type: application/json"]
    if location is not None:
        lines.append(draw(st.sampled_from([b"Location", b"location", b"LOCATION"])) + b": " + location)
    if not keep:
        lines.append(b"Connection: close")
    early = draw(st.sampled_from([b"", b"HTTP/1.1 103 Early Hints\r\nLocation: /early\r\n\r\n"]))
    if draw(st.booleans()):
        lines.append(b"Transfer-Encoding: chunked")
        chunks = [piece for piece in cut(body, draw(st.lists(st.integers(0, 200), max_size=4))) if piece]
        framed = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in chunks) + b"0\r\n\r\n"
    else:
        lines.append(b"Content-Length: %d" % len(body))
        framed = body
    return early + b"\r\n".join(lines) + b"\r\n\r\n" + framed, Answer(status, body, location), keep


PLACES = st.lists(st.integers(0, 1000), max_size=12)


@given(answers(), PLACES)
def test_an_answer_is_the_same_in_whatever_pieces_it_comes(made: tuple[bytes, Answer, bool], places: list[int]) -> None:
    octets, answer, keep = made
    assert ask(cut(octets, places)) == (answer, keep)


@given(answers(), PLACES, st.integers(1, 400))
def test_an_answer_of_which_the_end_is_missing_is_no_answer(
    made: tuple[bytes, Answer, bool], places: list[int], missing: int
) -> None:
    octets = made[0][:-missing]
    assert isinstance(ask(cut(octets, places))[0], ConnectionCut)


@given(answers(), st.binary(min_size=1, max_size=50))
def test_an_answer_with_more_behind_it_is_no_answer(made: tuple[bytes, Answer, bool], more: bytes) -> None:
    outcome, usable = ask([made[0] + more])
    if more.strip(b"\r\n"):
        assert isinstance(outcome, BadAnswer)
        assert not usable


@given(st.lists(st.binary(max_size=60), max_size=8), st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n"]))
def test_any_octets_lead_to_an_outcome(pieces: list[bytes], start: bytes) -> None:
    outcome, _ = ask([start, *pieces] if start else pieces)
    assert isinstance(outcome, Answer | BadAnswer | ConnectionCut)
