"""Server reflection as a tool that speaks grpcio sees it, and one that does not read."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import h2.settings
import pytest
from scenes import reflection as tool
from scenes.grpcfast import RawClient, Served, serve

from sidecar.grpcfast import Status
from sidecar.grpcfast.message import frame
from sidecar.health import Health
from sidecar.reflection import MAX_REQUEST, Reflection
from sidecar.wire.reflection_pb2 import ServerReflectionRequest

HEALTH = "grpc.health.v1.Health"
LIST = ServerReflectionRequest(list_services="*")


@pytest.fixture
async def reflection() -> Reflection:
    return Reflection(Health().methods())


@pytest.fixture
async def served(reflection: Reflection, state_dir: Path) -> AsyncIterator[Served]:
    health = Health("t.T")
    health.serve()
    async with serve({**health.methods(), **reflection.methods()}, state_dir / "r.sock") as served:
        yield served


@pytest.fixture
async def channel(served: Served) -> AsyncIterator[grpc.aio.Channel]:
    async with served.channel() as channel:
        yield channel


@pytest.mark.parametrize("package", tool.PACKAGES)
async def test_health_is_checked_by_who_knows_no_proto_file(channel, package):
    assert HEALTH in await tool.services(channel, package)
    answer = await tool.call_unary(channel, package, HEALTH, "Check", service="t.T")
    assert answer.DESCRIPTOR.fields_by_name["status"].enum_type.values_by_number[answer.status].name == "SERVING"
    listed = await tool.call_unary(channel, package, HEALTH, "List")
    assert sorted(listed.statuses) == ["", "t.T"]


@pytest.mark.parametrize("package", tool.PACKAGES)
async def test_many_questions_on_one_call_are_answered_in_order_whatever_each_comes_to(channel, package):
    call = tool.info(channel, package)
    requests = [
        ServerReflectionRequest(host="h", list_services="*"),
        ServerReflectionRequest(file_containing_symbol="envoy.service.auth.v3.Authorization"),
        ServerReflectionRequest(),
        ServerReflectionRequest(file_by_filename="grpc/health/v1/health.proto"),
    ] * 5
    for request in requests:
        await call.write(request)
    await call.done_writing()
    answers = [answer async for answer in call]
    assert [answer.original_request for answer in answers] == requests
    assert [answer.WhichOneof("message_response") for answer in answers[:4]] == [
        "list_services_response",
        "error_response",
        "error_response",
        "file_descriptor_response",
    ]
    assert await call.code() is grpc.StatusCode.OK


async def test_what_is_no_request_is_refused_and_so_is_one_that_is_too_long(channel):
    path = f"/{tool.PACKAGES[0]}.ServerReflection/ServerReflectionInfo"
    for message, status in (
        (b"\xff", grpc.StatusCode.INVALID_ARGUMENT),
        (bytes(MAX_REQUEST + 1), grpc.StatusCode.RESOURCE_EXHAUSTED),
    ):
        call = channel.stream_stream(path)(iter([message]))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is status


async def test_a_call_that_is_kept_open_ends_with_the_drain(channel, reflection):
    call = tool.info(channel, tool.PACKAGES[0])
    await call.write(LIST)
    await call.read()
    reflection.close()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_a_client_that_never_reads_is_given_one_answer_and_then_up(
    served, reflection, monkeypatch, eventually, channel
):
    answers = 0
    answer = reflection.answer

    def counted(*arguments):
        nonlocal answers
        answers += 1
        return answer(*arguments)

    monkeypatch.setattr(reflection, "answer", counted)
    no_window = {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0}
    async with RawClient.connect(served.path, no_window) as client:
        stream = client.open(f"/{tool.PACKAGES[0]}.ServerReflection/ServerReflectionInfo")
        message = frame(LIST.SerializeToString())
        client.send(stream, message * 500)
        await client.flush()
        await eventually(lambda: answers == 1)
        assert served.server.buffered == 499 * len(message)
        monkeypatch.setattr("sidecar.reflection.PATIENCE", 0.05)
        second = client.open(f"/{tool.PACKAGES[0]}.ServerReflection/ServerReflectionInfo")
        client.send(second, message * 500)
        await client.flush()
        await eventually(lambda: answers == 2 and served.server.tasks == 1)
        assert served.server.buffered == 499 * len(message)  # the first one's; nothing of the second is kept
        assert (await tool.call_unary(channel, tool.PACKAGES[0], HEALTH, "Check")).status == 1  # others are served
        client.h2.increment_flow_control_window(65_535, second)
        given_up = await client.answer(second)
        assert given_up.status == Status.DEADLINE_EXCEEDED
        assert answers == 3  # the other client's
