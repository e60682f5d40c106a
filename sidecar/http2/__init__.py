"""HTTP/2 for servers, sans-IO (RFC 9113, RFC 7541). `Connection` is the codec; the files in the order data flows:
limits, frames, settings, headers, blocks, states, streams, windows, sending, controlling, receiving, connection."""

from sidecar.http2.blocks import encode
from sidecar.http2.connection import Connection
from sidecar.http2.errors import ErrorCode
from sidecar.http2.events import DATA, DRAINED, REQUEST, RESET, WHOLE, Event
from sidecar.http2.headers import HeaderList
from sidecar.http2.limits import LIMITS, Limits
from sidecar.http2.reply import Reply

__all__ = [
    "DATA",
    "DRAINED",
    "LIMITS",
    "REQUEST",
    "RESET",
    "WHOLE",
    "Connection",
    "ErrorCode",
    "Event",
    "HeaderList",
    "Limits",
    "Reply",
    "encode",
]
