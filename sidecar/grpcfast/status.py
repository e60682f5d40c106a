"""The status codes of gRPC, and the exception that carries one.

The numbers are gRPC's: https://github.com/grpc/grpc/blob/master/doc/statuscodes.md
"""

from __future__ import annotations

from enum import IntEnum

from core.errors import NameplateError


class Status(IntEnum):
    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class RpcError(NameplateError):
    """Ends a call with this status. `message` is sent to the peer; `code` is the status in lower case."""

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(status.name.lower(), message)
        self.status = status
