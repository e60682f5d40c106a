"""What a peer can make us keep, or wait for, each with its reason. Those of frames and streams are sidecar.http2's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# The default of every gRPC implementation (grpc.max_receive_message_length). A method may say otherwise.
MAX_MESSAGE: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds and bytes.

    `preface`: a peer that has connected and not yet said that it speaks HTTP/2. Clients do so at once; what keeps
    silent is a port scan or a leak. (nginx `client_header_timeout` 60, grpc-go `ConnectionTimeout` 120.)
    `answer`: a unary call whose client set no deadline, or a longer one, from its headers to its answer; a request that
    is not gRPC. Ours take milliseconds; what is still there is stuck. A stream may last for ever.
    `keepalive`, `keepalive_answer`: a TCP peer that was quiet for so long is asked by PING, and given up when nothing
    comes back. A stream of secrets has nothing to say for hours, and a peer that lost its power sends no FIN.
    `linger`: for the peer to read our GOAWAY and to close; then its connection is cut. Also for a handler that was
    cancelled to end; one that does not is left behind.
    `unread`: bytes written that the peer's socket does not take, before nothing more is read from it. 64 KiB is
    asyncio's own default; with this a whole read of small requests (uvloop reads 256 KB) stalls only a peer that
    does not read.
    `buffered`: of all calls of the server together, request bytes that no handler has taken: incomplete messages, and
    complete ones of streams. Two of the largest messages (64 MiB, xDS) and as much again for the rest.
    """

    preface: float = 10.0
    answer: float = 30.0
    keepalive: float = 20.0
    keepalive_answer: float = 10.0
    linger: float = 1.0
    unread: int = 256 * 1024
    buffered: int = 256 * 1024 * 1024


LIMITS: Final = Limits()
