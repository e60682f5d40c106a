"""The same valid traffic to this server and to one on hyper-h2: each request gets the same answer from both."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from conformance import frames
from conformance.frames import END_HEADERS, END_STREAM, PREFACE, Setting, frame
from conformance.grpc import UNARY, Response, call_fields, message, responses
from conformance.peer import Peer
from conformance.reference import Reference


class Traffic:
    """Made once for both: `wire` in chunks, streams that are to be answered, and those that are reset and may be."""

    def __init__(self, seed: int) -> None:
        self._dice = dice = random.Random(seed)
        self._encoder = Peer().encoder
        self.answered: list[int] = []
        self.forsaken: set[int] = set()
        wire = [PREFACE + frames.settings([(Setting.ENABLE_PUSH, 0)])]
        stream = 1
        for _ in range(dice.randrange(1, 5)):
            group = [self._request(stream + 2 * n) for n in range(dice.randrange(1, 8))]
            stream += 2 * len(group) + 2 * dice.randrange(3)
            wire += [request.pop(0) for request in group]  # streams are opened in the order of their ids
            while group := [request for request in group if request]:  # interleaved
                wire.append(dice.choice(group).pop(0))
                if dice.random() < 0.2:
                    wire.append(self._aside())
        whole = b"".join(wire)
        cuts = sorted(dice.sample(range(1, len(whole)), min(len(whole) - 1, dice.choice((0, 1, 5, 60)))))
        self.wire = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]

    def _request(self, stream: int) -> list[bytes]:
        dice = self._dice
        fields = call_fields(dice.choice((UNARY, UNARY, UNARY, "/no/Method")), ("x-n", str(dice.randrange(4))))
        if dice.random() < 0.1:
            fields = [(":method", dice.choice(("GET", "PUT"))), *fields[1:]]
        if dice.random() < 0.1:
            fields = [(name, "text/plain" if name == "content-type" else value) for name, value in fields]
        body = message(dice.randbytes(dice.choice((0, 1, 100, 3000)))) if dice.random() < 0.9 else b"\0\0\0"
        parts = [body] if dice.random() < 0.5 else [body[:3], body[3:5], b"", body[5:]]
        ending = dice.choice(("data", "data", "empty data", "trailers", "reset"))
        pieces = [self._headers(stream, fields, END_HEADERS)]
        for n, part in enumerate(parts):
            last = ending == "data" and n == len(parts) - 1
            padding = dice.choice((None, None, None, 0, 1, 200))
            pieces.append(frames.data(stream, part, END_STREAM if last else 0, padding))
        if ending == "empty data":
            pieces.append(frames.data(stream, b"", END_STREAM))
        if ending == "trailers":
            pieces.append(frames.headers(stream, b"\x10\x03x-t\x011", END_STREAM | END_HEADERS))
        if ending == "reset":
            pieces.append(frames.rst_stream(stream))
            self.forsaken.add(stream)
        else:
            self.answered.append(stream)
        return pieces

    def _headers(self, stream: int, fields: list[tuple[str, str]], flags: int) -> bytes:
        dice = self._dice
        block = self._encoder.encode(fields)
        if dice.random() < 0.2:
            cut = dice.randrange(len(block))
            return frames.headers(stream, block[:cut], flags & ~END_HEADERS) + frames.continuation(stream, block[cut:])
        return frames.headers(
            stream, block, flags, dice.choice((None, None, 0, 30)), dice.choice((None, None, 0, stream + 2))
        )

    def _aside(self) -> bytes:
        return self._dice.choice(
            (
                frames.ping(),
                frames.settings(),
                frames.window_update(0, 1000),
                frame(0x42, 0xFF, 0, b"extension"),
                frames.settings([(0x4242, 1), (Setting.MAX_FRAME_SIZE, 32_768)]),
            )
        )


async def _answers(path: Path, traffic: Traffic) -> dict[int, Response]:
    peer = await Peer.connect(path)
    for chunk in traffic.wire:
        peer.send(chunk)
        await asyncio.sleep(0)  # lets the server read what is there
    found = await responses(peer, *traffic.answered, forsaken=traffic.forsaken)
    peer.close()
    return found


def _essence(answer: Response) -> tuple[object, ...]:
    """Without what the two may say differently: further fields, the text of an error, the body of what is not gRPC."""
    first, last = dict(answer.headers), dict(answer.trailers or answer.headers)
    grpc = first[":status"] == "200"
    return first[":status"], grpc and first["content-type"], last.get("grpc-status"), answer.data if grpc else None


@pytest.mark.parametrize("seed", range(150))
async def test_both_answer_the_same(standing: Path, state_dir: Path, seed: int) -> None:
    traffic = Traffic(seed)
    path = state_dir / "h2"
    listener = await asyncio.get_running_loop().create_unix_server(Reference, str(path))
    try:
        ours, theirs = await _answers(standing, traffic), await _answers(path, traffic)
    finally:
        listener.close()
    assert ours.keys() == theirs.keys()
    for stream, answer in theirs.items():
        assert _essence(ours[stream]) == _essence(answer), f"stream {stream}"
