"""CheckRequests as Envoy 1.40 sends them with envoy/static.yaml: every field that it fills in, no headers.

Written by hand, field by field, because the product's own view of the message has only the fields that it reads.
Source: envoy/service/auth/v3/attribute_context.proto; protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

LENGTH_DELIMITED = 2
VARINT = 0

CHECK_PATH = b"/envoy.service.auth.v3.Authorization/Check"


def check_request(host: str, path: str = "/") -> bytes:
    """A request of the TLS listener whose SNI is its host."""
    source = _message(1, _socket_address("203.0.113.7", 54321))
    destination = _message(1, _socket_address("192.0.2.1", 443))
    time = _integer(1, 1_700_000_000) + _integer(2, 123_456_789)
    http = (
        _text(1, "12345678901234567890")
        + _text(2, "GET")
        + _text(4, path)
        + _text(5, host)
        + _text(6, "https")
        + _text(10, "HTTP/1.1")
    )
    request = _message(1, time) + _message(2, http)
    attributes = (
        _message(1, source)
        + _message(2, destination)
        + _message(4, request)
        + _message(11, b"")
        + _message(12, _text(1, host))
    )
    return _message(1, attributes)


def framed(message: bytes) -> bytes:
    """With gRPC's length prefix."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def _socket_address(address: str, port: int) -> bytes:
    return _message(1, _text(2, address) + _integer(3, port))


def _message(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | LENGTH_DELIMITED) + _varint(len(value)) + value


def _text(field: int, value: str) -> bytes:
    return _message(field, value.encode())


def _integer(field: int, value: int) -> bytes:
    return _varint(field << 3 | VARINT) + _varint(value)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
