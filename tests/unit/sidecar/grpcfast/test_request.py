from __future__ import annotations

import pytest

from sidecar.grpcfast import OneAnswer, Reply, Status, Streaming, Unary, reply
from sidecar.grpcfast.call import Call
from sidecar.grpcfast.request import (
    NOT_GRPC,
    NOT_POST,
    NOT_POST_BUT_HEAD,
    NotGrpc,
    Refused,
    Request,
    RequestReader,
    StreamRequest,
)


def answer(message: bytes) -> Reply:
    return reply(message)


async def serve(_call: Call) -> None: ...


READER = RequestReader(
    {"/t.T/Unary": Unary(answer), "/t.T/One": OneAnswer(answer, max_message=9), "/t.T/Stream": Streaming(serve)}
)


def read(**changed: bytes | None) -> object:
    """As a client asks for Unary, with these fields others (`_` for `-` and pseudo-headers without their colon)."""
    fields: dict[bytes, bytes | None] = {
        b":method": b"POST",
        b":scheme": b"http",
        b":path": b"/t.T/Unary",
        b":authority": b"test",
        b"te": b"trailers",
        b"content-type": b"application/grpc",
    }
    for name, value in changed.items():
        pseudo = f":{name}".encode()
        fields[pseudo if pseudo in fields else name.replace("_", "-").encode()] = value
    return READER.read([(name, value) for name, value in fields.items() if value is not None])


def test_a_unary_call_is_read() -> None:
    assert read() == Request(answer, False, 4 * 1024 * 1024, b"identity", None)


def test_a_call_with_one_answer_is_read() -> None:
    assert read(path=b"/t.T/One", grpc_encoding=b"gzip") == Request(answer, True, 9, b"gzip", None)


def test_a_streaming_call_is_read() -> None:
    assert read(path=b"/t.T/Stream", grpc_timeout=b"2S") == StreamRequest(serve, 4 * 1024 * 1024, b"identity", 2.0)


@pytest.mark.parametrize(
    "content_type", [b"application/grpc", b"application/grpc+proto", b"Application/gRPC", b"application/grpc;v=1"]
)
def test_content_types_of_grpc_are_accepted(content_type: bytes) -> None:
    assert isinstance(read(content_type=content_type), Request)


@pytest.mark.parametrize("content_type", [b"text/html", b"application/grpc-web", b"application/grpcx", b"", None])
def test_any_other_content_type_is_http_415(content_type: bytes | None) -> None:
    assert read(content_type=content_type) == NotGrpc(NOT_GRPC)


@pytest.mark.parametrize(("method", "refusal"), [(b"GET", NOT_POST), (b"PUT", NOT_POST), (b"HEAD", NOT_POST_BUT_HEAD)])
def test_any_method_but_post_is_http_405(method: bytes, refusal: Reply) -> None:
    assert read(method=method, content_type=None) == NotGrpc(refusal)


def test_the_answer_to_head_has_no_body() -> None:
    assert NOT_POST_BUT_HEAD.data == b""
    assert NOT_POST.data


@pytest.mark.parametrize("path", [b"/t.T/Other", b"/t.T/unary", b"/", b"", b"/t.T/Unary/", b"/t.T/Unary?x=1"])
def test_an_unknown_method_is_unimplemented(path: bytes) -> None:
    asked = read(path=path)
    assert isinstance(asked, Refused)
    assert asked.status is Status.UNIMPLEMENTED


def test_te_may_be_missing() -> None:
    assert isinstance(read(te=None), Request)


@pytest.mark.parametrize(
    ("timeout", "seconds"), [(b"500m", 0.5), (b"1H", 3600.0), (b"99999999n", 0.099999999), (b"00000001S", 1.0)]
)
def test_a_deadline_is_read(timeout: bytes, seconds: float) -> None:
    asked = read(grpc_timeout=timeout)
    assert isinstance(asked, Request)
    assert asked.timeout == pytest.approx(seconds)


@pytest.mark.parametrize("timeout", [b"", b"5", b"S", b"-1S", b"1.5S", b"1s", b"123456789S", b"1S ", "１S".encode()])
def test_a_malformed_deadline_is_an_internal_error(timeout: bytes) -> None:
    asked = read(grpc_timeout=timeout)
    assert isinstance(asked, Refused)
    assert asked.status is Status.INTERNAL


@pytest.mark.parametrize("timeout", [b"0S", b"00000000n"])
def test_a_deadline_of_zero_has_passed(timeout: bytes) -> None:
    asked = read(grpc_timeout=timeout)
    assert isinstance(asked, Refused)
    assert asked.status is Status.DEADLINE_EXCEEDED
