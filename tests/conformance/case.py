"""One case of the table: what is sent after the handshake, and what must come back.

| expectation | passes when |
| --- | --- |
| `GoAway(codes)` | GOAWAY with one of the codes, then the end of the connection |
| `Reset(codes)` | RST_STREAM with one of the codes and the connection lives on, or `GoAway(codes)` (RFC 9113 5.4.2) |
| `Reset(codes, exactly=True)` | the same, and only RST_STREAM will do |
| `Reset(codes, stream=None)` | the same, of any stream |
| `Closed()` | the connection ends |
| `Answered()` | response HEADERS with a `:status` on the stream, no error before them |
| `Alive()` | PING is answered and no GOAWAY or RST_STREAM came before |
| `AliveOrClosed()` | either |
| `Acknowledged()` | SETTINGS with ACK |
| `Pong(payload)` | PING with ACK and this payload, and no other PING |
| `DataOf(size)` | the first DATA on the stream has this length |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from conformance.frames import ACK, Code, Frame, Type, ping
from conformance.peer import Peer

Step = Callable[[Peer], bytes]


@dataclass(frozen=True, slots=True)
class Wait:
    """Between two steps: until the server has sent a frame that fits."""

    wanted: Callable[[Frame], bool]


class Expectation(Protocol):
    async def check(self, peer: Peer) -> None: ...


@dataclass(frozen=True, slots=True)
class Case:
    section: str
    name: str
    steps: tuple[Step | Wait, ...]
    expect: Expectation
    bare: bool = False
    """No handshake before the steps."""

    @property
    def id(self) -> str:
        return f"{self.section} {self.name}"

    async def run(self, peer: Peer) -> None:
        if not self.bare:
            await peer.handshake()
        for step in self.steps:
            if isinstance(step, Wait):
                await peer.until(step.wanted)
            else:
                peer.send(step(peer))
        await self.expect.check(peer)


# --- expectations


@dataclass(frozen=True, slots=True)
class GoAway:
    codes: tuple[Code, ...]

    def __init__(self, *codes: Code) -> None:
        object.__setattr__(self, "codes", codes)

    async def check(self, peer: Peer) -> None:
        came = await peer.until_closed()
        goaways = [frame for frame in came if frame.type == Type.GOAWAY]
        assert goaways, f"closed without GOAWAY: {came}"
        assert goaways[-1].code in self.codes, f"{_name(goaways[-1].code)}, and not one of {_names(self.codes)}"
        assert came[-1] == goaways[-1], f"frames after the GOAWAY: {came}"


@dataclass(frozen=True, slots=True)
class Reset:
    codes: tuple[Code, ...]
    stream: int | None = 1
    exactly: bool = False

    def __init__(self, *codes: Code, stream: int | None = 1, exactly: bool = False) -> None:
        object.__setattr__(self, "codes", codes)
        object.__setattr__(self, "stream", stream)
        object.__setattr__(self, "exactly", exactly)

    async def check(self, peer: Peer) -> None:
        error = await peer.until(lambda frame: frame.type in (Type.RST_STREAM, Type.GOAWAY))
        assert error.code in self.codes, f"{error}: not one of {_names(self.codes)}"
        if error.type == Type.GOAWAY:
            assert not self.exactly, "the whole connection was ended for an error of one stream"
            await peer.until_closed()
        else:
            assert self.stream in (None, error.stream), f"{error}: the wrong stream"
            await Alive().check(peer)


@dataclass(frozen=True, slots=True)
class Closed:
    async def check(self, peer: Peer) -> None:
        await peer.until_closed()


@dataclass(frozen=True, slots=True)
class Answered:
    stream: int = 1
    status: str | None = None

    async def check(self, peer: Peer) -> None:
        answer = await peer.until(lambda frame: frame.type in (Type.HEADERS, Type.RST_STREAM, Type.GOAWAY))
        assert answer.type == Type.HEADERS, f"refused: {answer}"
        assert answer.stream == self.stream, f"{answer}: the wrong stream"
        status = dict(peer.fields(answer)).get(":status", "")
        assert len(status) == 3 and status.isdigit(), f"status {status!r}"
        assert self.status in (None, status), f"status {status}"


@dataclass(frozen=True, slots=True)
class Alive:
    async def check(self, peer: Peer) -> None:
        errors = [frame for frame in await peer.settle() if frame.type in (Type.GOAWAY, Type.RST_STREAM)]
        assert not errors, f"refused: {errors}"


@dataclass(frozen=True, slots=True)
class AliveOrClosed:
    async def check(self, peer: Peer) -> None:
        peer.send(ping(b"or close"))
        while (frame := await peer.frame()) is not None:
            assert frame.type != Type.RST_STREAM, f"refused: {frame}"
            assert frame.type != Type.GOAWAY or frame.code == Code.NO_ERROR, f"refused: {frame}"
            if frame.type == Type.PING and frame.payload == b"or close":
                return


@dataclass(frozen=True, slots=True)
class Acknowledged:
    async def check(self, peer: Peer) -> None:
        frame = await peer.until(lambda frame: frame.type == Type.SETTINGS)
        assert frame.flags & ACK and not frame.payload, f"{frame}"


@dataclass(frozen=True, slots=True)
class Pong:
    payload: bytes

    async def check(self, peer: Peer) -> None:
        frame = await peer.until(lambda frame: frame.type == Type.PING)
        assert frame.flags & ACK, f"{frame}"
        assert frame.payload == self.payload, f"{frame}"


@dataclass(frozen=True, slots=True)
class DataOf:
    size: int
    stream: int = 1

    async def check(self, peer: Peer) -> None:
        frame = await peer.until(lambda frame: frame.type in (Type.DATA, Type.RST_STREAM, Type.GOAWAY))
        assert frame.type == Type.DATA and frame.stream == self.stream, f"{frame}"
        assert len(frame.payload) == self.size, f"{len(frame.payload)} bytes of DATA and not {self.size}"


def _name(code: int) -> str:
    return Code(code).name if code in Code.__members__.values() else str(code)


def _names(codes: tuple[Code, ...]) -> str:
    return " or ".join(code.name for code in codes)
