"""Fuzz target of the HTTP/2 codec. Needs nothing but the tests' own libraries.

    python tests/fuzz/http2.py --seconds 60 --seed 1        prints executions and findings, saves a finding's bytes
    python tests/fuzz/http2.py FILE...                      runs files, as those of tests/fuzz/corpus/http2/

An execution is a byte string and a seed. It is read three times: at once, in random pieces, and by frames with a layer
above that answers at random and `Watcher` looking on. Nothing may be raised, the first two must agree in events
and output, and the sums of `check` must hold at every step.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections import Counter, deque
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from fuzz import wire
from fuzz.events import apart
from fuzz.traffic import Conversation, mutate, split, whole
from fuzz.watcher import Watcher

from sidecar.http2 import DATA, REQUEST, RESET, Connection, ErrorCode, HeaderList, Limits, Reply, encode
from sidecar.http2.streams import ASKED

CORPUS = Path(__file__).parent / "corpus" / "http2"
OK = encode([(b":status", b"200"), (b"content-type", b"application/grpc")])
TRAILERS = encode([(b"grpc-status", b"0")])
REPLIES = (
    Reply.of(OK, b"\x00\x00\x00\x00\x05hello", TRAILERS),
    Reply.of(OK, b"x" * 20_000, TRAILERS),
    Reply.of(OK, b"x" * 100),
    Reply.of(OK),
    Reply.of(encode([(b":status", b"200"), (b"grpc-message", b"m" * 20_000)]), b"", TRAILERS),
)
LIMITS = (
    Limits(),
    Limits(streams=3, stream_window=1_000, connection_window=70_000, remembered_resets=2, skipped_ranges=2),
    Limits(header_table=0, header_list=300, continuations=2, memo_blocks=2, memo_block=200),
    Limits(header_table=100, resets=3, resets_per_second=0, control_frames=10, control_frames_per_second=0),
)


def fields(headers: HeaderList) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name, value) for name, value in headers)


def connection(limits: Limits) -> Connection[Any]:
    made: Connection[Any] = Connection(fields, limits, clock=lambda: 0.0)
    made.start()
    return made


def check(made: Connection[Any]) -> None:
    """What holds at every moment: credit is neither lost nor made, and no bound is crossed."""
    limits = made._limits
    streams = made._streams.values()
    assert (ASKED.room, ASKED.held, ASKED.credit, ASKED.queue, ASKED.queued) == (0, 0, 0, None, 0), "shared by all"
    assert made.open_streams <= limits.streams
    assert len(made._rest) < 16_384 + 9
    assert len(made._decoder.memo) <= limits.memo_blocks
    assert len(made._past._order) <= limits.remembered_resets
    if made.closed:
        assert not made._streams
        return
    assert made._held == sum(stream.held for stream in streams), "held bytes do not add up"
    assert made._room >= 0
    assert made._room + made._held <= max(limits.connection_window, 65_535), "more credit than announced"
    assert set(made._waiting) == {stream_id for stream_id, stream in made._streams.items() if stream.queue}
    assert set(made._starved) <= set(made._waiting)
    assert made._window <= 0 or not made._starved, "room for a stream that waits for it"
    for stream in streams:
        assert stream.held >= 0
        assert stream.room + stream.held <= max(made._stream_window, stream.room), "more credit than announced"
        assert stream.queued == sum(len(part) for kind, part, _ in stream.queue or () if kind == wire.DATA)


def execute(data: bytes, seed: int) -> str:
    """One execution; the name of how it ended. Raises AssertionError for a finding, or what the codec raised."""
    random = Random(seed)
    limits = LIMITS[seed % len(LIMITS)]
    at_once, in_pieces = connection(limits), connection(limits)
    events = list(apart(at_once.receive(data)))
    check(at_once)
    others: list[Any] = []
    output = b""
    position = 0
    while position < len(data):
        size = random.choice((1, 1, 2, 5, 9, 50, 1_000, len(data)))
        others += apart(in_pieces.receive(data[position : position + size]))
        position += size
        if random.random() < 0.5:
            output += in_pieces.output()
    assert others == events, "events differ when the bytes are split"
    assert output + in_pieces.output() == at_once.output(), "output differs when the bytes are split"
    assert at_once.closed == in_pieces.closed
    converse(data, random, limits)
    return "open" if at_once.failed is None else at_once.failed.name


def converse(data: bytes, random: Random, limits: Limits) -> None:
    """Frame by frame, DATA often with the HEADERS before it, with a layer above."""
    made = connection(limits)
    watcher = Watcher(table=limits.header_table)
    watcher.server(made.output())
    known: list[int] = []
    parts = deque(split(data))
    while parts:
        read = [parts.popleft()]
        if (
            parts
            and read[0][3:4] == bytes((wire.HEADERS,))
            and parts[0][3:4] == bytes((wire.DATA,))
            and random.random() < 0.7
        ):
            read.append(parts.popleft())
        for frame in map(whole, read):
            if frame is not None and not made.closed:
                watcher.peer(frame)
        was_closed = made.closed
        events = list(apart(made.receive(b"".join(read))))
        assert not (was_closed and events)
        watcher.events(events)
        check(made)
        watcher.server(made.output())
        watcher.quiet()
        for event in events:
            if event[0] == REQUEST:
                known.append(event[1])
            elif event[0] == RESET and event[1] in known:
                known.remove(event[1])
            elif event[0] == DATA and random.random() < 0.3:
                made.consumed(event[1], len(event[2]))
        act(made, known, random)
        check(made)
        watcher.server(made.output())


def act(made: Connection[Any], known: list[int], random: Random) -> None:
    while known and random.random() < 0.6:
        stream_id = random.choice(known)
        choice = random.random()
        if choice < 0.6:
            made.reply(stream_id, random.choice(REPLIES))
            known.remove(stream_id)
        elif choice < 0.7:
            made.send_headers(stream_id, OK)
            for _ in range(random.randrange(3)):
                made.send_data(stream_id, b"y" * random.choice((0, 1, 100, 20_000)))
            made.send_trailers(stream_id, TRAILERS)
            known.remove(stream_id)
        elif choice < 0.8:
            made.reset(stream_id, random.choice((ErrorCode.CANCEL, ErrorCode.NO_ERROR)))
            known.remove(stream_id)
        elif choice < 0.81:
            made.drain()
        elif choice < 0.812:
            made.abort(ErrorCode.INTERNAL_ERROR)
        else:
            break


def seeds() -> list[bytes]:
    return [path.read_bytes() for path in sorted(CORPUS.glob("*.bin"))]


def inputs(random: Random, corpus: list[bytes]) -> Iterator[bytes]:
    while True:
        choice = random.random()
        if choice < 0.6:
            data = Conversation(random).bytes(random.choice((3, 10, 30)))
        elif choice < 0.95:
            data = random.choice(corpus)
        else:
            data = wire.PREFACE + wire.settings() + random.randbytes(random.randrange(60))
        yield mutate(random, data) if random.random() < 0.7 else data


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0, help="of CPU time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", type=Path, default=Path(), help="folder for the bytes of findings")
    arguments = parser.parse_args()
    if arguments.files:
        for path in arguments.files:
            print(path.name, [execute(path.read_bytes(), seed) for seed in range(len(LIMITS))])
        return 0
    corpus = seeds()
    ends: Counter[str] = Counter()
    findings = 0
    source = inputs(Random(arguments.seed), corpus)
    for number in count(arguments.seed * 1_000_000_007):
        if sum(ends.values()) % 100 == 0 and time.process_time() > arguments.seconds:
            break
        data = next(source)
        try:
            ends[execute(data, number)] += 1
        except Exception:  # noqa: BLE001 (a finding of any kind is reported)
            findings += 1
            ends["finding"] += 1
            path = arguments.save / f"finding-{number}.bin"
            path.write_bytes(data)
            traceback.print_exc()
            print(f"seed {number}: {path}")
            if findings >= 5:
                break
    print(f"{sum(ends.values())} executions in {time.process_time():.0f} s of CPU, {findings} findings")
    print(", ".join(f"{name} {number}" for name, number in ends.most_common()))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
