"""HTTP/2 error codes, and what a violation does: exceptions that carry their effect and never leave the codec.

Violation
├── ConnectionFault   GOAWAY with the code, then the connection is closed (RFC 9113 5.4.1)
└── StreamFault       RST_STREAM with the code, the connection goes on    (RFC 9113 5.4.2)
"""

from __future__ import annotations

from enum import IntEnum


class ErrorCode(IntEnum):
    """RFC 9113 7."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    SETTINGS_TIMEOUT = 0x4
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    CONNECT_ERROR = 0xA
    ENHANCE_YOUR_CALM = 0xB
    INADEQUATE_SECURITY = 0xC
    HTTP_1_1_REQUIRED = 0xD


class Violation(Exception):
    """The peer broke a rule. `reason` names the rule and never repeats what the peer sent."""

    def __init__(self, code: ErrorCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class ConnectionFault(Violation):
    """Answered by GOAWAY; `reason` becomes its debug data."""


class StreamFault(Violation):
    """Answered by RST_STREAM on the stream of the frame that broke the rule."""
