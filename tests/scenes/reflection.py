"""A client of server reflection, as an operator's tool is one: it knows the reflection protocol and nothing else."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from sidecar.wire.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

PACKAGES = ("grpc.reflection.v1", "grpc.reflection.v1alpha")
PATIENCE = 10.0


def info(channel: grpc.aio.Channel, package: str) -> Any:
    """An open call of ServerReflectionInfo."""
    return channel.stream_stream(
        f"/{package}.ServerReflection/ServerReflectionInfo",
        request_serializer=ServerReflectionRequest.SerializeToString,
        response_deserializer=ServerReflectionResponse.FromString,
    )(timeout=PATIENCE)


async def ask(channel: grpc.aio.Channel, package: str, **fields: object) -> ServerReflectionResponse:
    """One question on a call of its own, which ends in good order."""
    call = info(channel, package)
    await call.write(ServerReflectionRequest(**fields))
    response = await call.read()
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK
    return response


async def services(channel: grpc.aio.Channel, package: str) -> list[str]:
    response = await ask(channel, package, list_services="*")
    return [service.name for service in response.list_services_response.service]


async def call_unary(channel: grpc.aio.Channel, package: str, service: str, method: str, /, **fields: object) -> Any:
    """Call a method knowing only its name: `grpcurl service/method`."""
    response = await ask(channel, package, file_containing_symbol=service)
    pool = DescriptorPool()
    for file in response.file_descriptor_response.file_descriptor_proto:
        pool.AddSerializedFile(file)
    described = pool.FindServiceByName(service).methods_by_name[method]
    call = channel.unary_unary(
        f"/{service}/{method}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=GetMessageClass(described.output_type).FromString,
    )
    return await call(GetMessageClass(described.input_type)(**fields), timeout=PATIENCE)
