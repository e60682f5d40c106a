"""What replies are on the wire, read by other libraries: hyperframe and hpack."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hpack import Decoder
from hyperframe.frame import DataFrame, Frame, HeadersFrame

from sidecar.grpcfast import Reply, Status, error, reply
from sidecar.grpcfast.reply import http_error, trailers


def frames(sent: Reply, stream_id: int = 5) -> list[Frame]:
    rest = memoryview(stream_id.to_bytes(4, "big").join(sent.pieces))
    found = []
    while rest:
        frame, length = Frame.parse_frame_header(rest[:9])
        frame.parse_body(rest[9 : 9 + length])
        found.append(frame)
        rest = rest[9 + length :]
    return found


def fields(frame: Frame) -> dict[str, str]:
    assert isinstance(frame, HeadersFrame)
    return dict(Decoder().decode(frame.data))


def test_a_reply_is_headers_one_message_and_trailers_of_status_0() -> None:
    headers, data, end = frames(reply(b"hello"))
    assert fields(headers) == {":status": "200", "content-type": "application/grpc"}
    assert isinstance(data, DataFrame)
    assert data.data == b"\0\0\0\0\x05hello"
    assert fields(end) == {"grpc-status": "0"}
    assert [frame.stream_id for frame in (headers, data, end)] == [5, 5, 5]
    assert ["END_STREAM" in frame.flags for frame in (headers, data, end)] == [False, False, True]


def test_an_error_is_trailers_only() -> None:
    (only,) = frames(error(Status.NOT_FOUND, "no such thing"))
    assert "END_STREAM" in only.flags
    assert fields(only) == {
        ":status": "200",
        "content-type": "application/grpc",
        "grpc-status": "5",
        "grpc-message": "no such thing",
    }


@pytest.mark.parametrize(
    ("message", "sent"),
    [("100 %", "100 %25"), ("zwei\nZeilen", "zwei%0AZeilen"), ("größer", "gr%C3%B6%C3%9Fer"), ("\x00\x7f~", "%00%7F~")],
)
def test_the_message_is_percent_encoded(message: str, sent: str) -> None:
    (only,) = frames(error(Status.INTERNAL, message))
    assert fields(only)["grpc-message"] == sent
    assert unquote(sent) == message


def test_a_message_is_cut_to_what_every_client_takes() -> None:
    (only,) = frames(error(Status.INTERNAL, "\U0001f600" * 100_000))
    assert len(only.data) < 8 * 1024
    assert unquote(fields(only)["grpc-message"]) == "\U0001f600" * 512


def test_without_a_message_there_is_no_field_for_it() -> None:
    assert "grpc-message" not in Decoder().decode(trailers(Status.OK, ""))
    assert dict(Decoder().decode(trailers(Status.OK, ""))) == {"grpc-status": "0"}


def test_unimplemented_says_which_encoding_may_be_used() -> None:
    assert dict(Decoder().decode(trailers(Status.UNIMPLEMENTED, "")))["grpc-accept-encoding"] == "identity"


def test_what_is_not_grpc_gets_a_plain_page() -> None:
    headers, data = frames(http_error(405, "no\n", (b"allow", b"POST")))
    assert fields(headers) == {
        ":status": "405",
        "allow": "POST",
        "content-type": "text/plain; charset=utf-8",
        "content-length": "3",
    }
    assert isinstance(data, DataFrame)
    assert (data.data, "END_STREAM" in data.flags) == (b"no\n", True)
