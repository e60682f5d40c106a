"""The same questions to the fast server and to grpcio's, with the same handler behind: the same bytes and status."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import checks
from scenes.edges import edges
from scenes.grpcfast import serve

from embedded.background import Background
from sidecar.authz.authorization import SERVICE, Authorization
from sidecar.authz.check import Checker
from sidecar.authz.policy import Kind, Pending
from sidecar.directory.entry import Entry
from sidecar.directory.errors import Unavailable
from sidecar.extproc.processor import SERVICE as EXTERNAL_PROCESSOR
from sidecar.extproc.processor import Processor
from sidecar.grpcfast import OneAnswer, Unary, reply
from sidecar.wire.check_pb2 import CheckResponse
from sidecar.wire.process_pb2 import ProcessingResponse

CHECK = f"/{SERVICE}/Check"
PROCESS = f"/{EXTERNAL_PROCESSOR}/Process"
Answer = tuple[grpc.StatusCode, list[bytes]]


class Names(checks.Names):
    """`miss.example` is there to be loaded, every time anew; of `gone.example` nothing can be said."""

    async def load(self, host: str) -> Entry | None:
        if host == "gone.example":
            raise Unavailable
        return None


class Tokens(checks.Tokens):
    async def load(self, token: str) -> str | None:
        return None


@asynccontextmanager
async def plain_server(path: Path) -> AsyncIterator[None]:
    names, tokens = Names(), Tokens()
    checks = Authorization(Checker(names, tokens, edges(), bytes), names, tokens)
    processing = Authorization(Processor(names, tokens, edges(), bytes), names, tokens)

    async def check(request: bytes, _context: object) -> bytes:
        answer = checks.check(request)
        return await answer if inspect.isawaitable(answer) else answer

    async def process(requests: AsyncIterator[bytes], _context: object) -> AsyncIterator[bytes]:
        async for request in requests:
            answer = processing.check(request)
            yield await answer if inspect.isawaitable(answer) else answer
            return

    server = grpc.aio.server()
    for service, handlers in (
        (SERVICE, {"Check": grpc.unary_unary_rpc_method_handler(check)}),
        (EXTERNAL_PROCESSOR, {"Process": grpc.stream_stream_rpc_method_handler(process)}),
    ):
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    try:
        yield
    finally:
        await server.stop(0)


@pytest.fixture(scope="module")
def channels(session_dir: Path) -> Iterator[Sequence[grpc.Channel]]:
    """To the fast server, and to grpcio's."""
    fast, plain = session_dir / "fast.sock", session_dir / "plain.sock"
    names, tokens = Names(), Tokens()
    methods = {
        CHECK: Unary(Authorization(Checker(names, tokens, edges(), reply), names, tokens).check),
        PROCESS: OneAnswer(Authorization(Processor(names, tokens, edges(), reply), names, tokens).check),
    }
    with Background() as servers:
        servers.enter(serve(methods, fast))
        servers.enter(plain_server(plain))
        with grpc.insecure_channel(f"unix:{fast}") as one, grpc.insecure_channel(f"unix:{plain}") as other:
            yield one, other


def check(channel: grpc.Channel, request: bytes) -> Answer:
    try:
        response, call = channel.unary_unary(CHECK).with_call(request, timeout=10)
    except grpc.RpcError as error:
        return error.code(), []
    return call.code(), [response]


def process(channel: grpc.Channel, request: bytes) -> Answer:
    call = channel.stream_stream(PROCESS)(iter([request]), timeout=10)
    responses = []
    try:
        responses.extend(call)
    except grpc.RpcError as error:
        return error.code(), responses
    return call.code(), responses


@settings(max_examples=600)
@given(request=checks.check_requests | checks.damaged | st.binary(max_size=40_000))
def test_a_check_is_answered_as_grpcio_answers_it(channels: Sequence[grpc.Channel], request: bytes) -> None:
    fast, plain = (check(channel, request) for channel in channels)
    assert fast == plain
    assert fast[0] is grpc.StatusCode.OK


@settings(max_examples=300)
@given(request=checks.processing_requests | st.binary(max_size=200))
def test_ext_proc_is_answered_as_grpcio_answers_it(channels: Sequence[grpc.Channel], request: bytes) -> None:
    fast, plain = (process(channel, request) for channel in channels)
    assert fast == plain
    assert (fast[0], len(fast[1])) == (grpc.StatusCode.OK, 1)


@pytest.mark.parametrize(
    ("host", "status"),
    [("shop.mybrand.co", 0), ("nobody.example", 404), ("miss.example", 404), ("gone.example", 503)],
)
def test_hits_and_misses_are_among_them(channels: Sequence[grpc.Channel], host: str, status: int) -> None:
    fast, plain = (check(channel, checks.check_request(host, b"/", host)) for channel in channels)
    assert fast == plain
    assert CheckResponse.FromString(fast[1][0]).denied_response.status.code == status
    fast, plain = (process(channel, checks.processing_request(host, b"/", host)) for channel in channels)
    assert fast == plain
    assert ProcessingResponse.FromString(fast[1][0]).immediate_response.status.code == status


def test_a_name_that_is_pending_is_so_for_the_checker_of_both() -> None:
    """Else the differential test would see no load."""
    names = Names()
    for host in checks.MISSES:
        request = checks.check_request(host, b"/", host)
        assert Checker(names, Tokens(), edges(), bytes).check(request) == Pending(Kind.HOSTNAME, host)
