"""`grpc.reflection` on grpcfast, for operators: https://github.com/grpc/grpc/blob/master/doc/server-reflection.md

    grpcurl -plaintext -unix /run/nameplate/check.sock list
    grpcurl -plaintext -unix /run/nameplate/check.sock grpc.health.v1.Health/Check

It lists every service of its server, and describes grpc.health.v1 and itself, whole but for file options (which are for
code generators). Envoy's services are in our wire views only as far as we read them, so they are not described.
Its messages and descriptors are imported for who asks first: 12 ms of a thread's, which no check and no start needs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError

from sidecar.grpcfast import Call, Method, RpcError, Status, Streaming

if TYPE_CHECKING:
    from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto

# By package; the messages of both are the same. grpcurl asks the first, older tools know only the second.
V1: Final = "grpc.reflection.v1"
V1ALPHA: Final = "grpc.reflection.v1alpha"

# Bytes; a request is a name or two. With it goes what an answer takes, which repeats its request.
MAX_REQUEST: Final = 4096

# Seconds until an answer is read. A client that does not read keeps one, and its next requests (its stream's window).
PATIENCE = 10.0

NOT_DESCRIBED: Final = (
    "Not described here: this server describes grpc.health.v1 and grpc.reflection only. "
    "For Envoy's services use Envoy's own protos (grpcurl -import-path … -proto …)."
)
NOTHING_ASKED: Final = "The request asks for nothing that this server knows of: set one field of message_request."


class Reflection:
    """`methods`: the paths of the server's others."""

    def __init__(self, methods: Iterable[str]) -> None:
        services = {path.split("/")[1] for path in (*methods, *self.methods())}
        self._services = sorted(services)
        self._calls: set[Call] = set()
        self._over = False

    def methods(self) -> Mapping[str, Method]:
        """By path."""
        info = Streaming(self.info, MAX_REQUEST)
        return {f"/{package}.ServerReflection/ServerReflectionInfo": info for package in (V1, V1ALPHA)}

    def close(self) -> None:
        """For good. Tools keep a stream open for as long as they run; no drain waits for them."""
        self._over = True
        for call in self._calls:
            call.wake()

    async def info(self, call: Call) -> None:
        """Streaming: an answer to each request, in order."""
        self._calls.add(call)
        try:
            described = await asyncio.to_thread(descriptors)
            while not (call.ended or self._over):
                request = call.take()
                if request is None:
                    await call.wait()
                else:
                    await _send(call, self.answer(request, described))
        finally:
            self._calls.discard(call)

    def answer(self, request: bytes, described: DescriptorPool) -> bytes:
        """A ServerReflectionResponse. Raises RpcError when it is no ServerReflectionRequest."""
        from sidecar.wire.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse  # noqa: PLC0415

        try:
            asked = ServerReflectionRequest.FromString(request)
        except DecodeError:
            raise RpcError(Status.INVALID_ARGUMENT, "The message is no ServerReflectionRequest.") from None
        response = ServerReflectionResponse(valid_host=asked.host, original_request=asked)
        try:
            match asked.WhichOneof("message_request"):
                case None:
                    response.error_response.error_code = Status.INVALID_ARGUMENT
                    response.error_response.error_message = NOTHING_ASKED
                case "list_services":
                    for service in self._services:
                        response.list_services_response.service.add(name=service)
                case "file_containing_symbol":
                    file = _file_with(asked.file_containing_symbol, described)
                    response.file_descriptor_response.file_descriptor_proto.append(file.serialized_pb)
                case "file_by_filename":
                    file = described.FindFileByName(asked.file_by_filename)
                    response.file_descriptor_response.file_descriptor_proto.append(file.serialized_pb)
                case _:  # of extensions, and there are none
                    raise KeyError
        except KeyError:
            response.error_response.error_code = Status.NOT_FOUND
            response.error_response.error_message = NOT_DESCRIBED
        return response.SerializeToString()


def descriptors() -> DescriptorPool:
    """What is described: our wire views under their own names. None of the files imports another."""
    from sidecar.wire import health_pb2, reflection_pb2  # noqa: PLC0415

    pool = DescriptorPool()
    for view, package, path in (
        (health_pb2, "grpc.health.v1", "grpc/health/v1/health.proto"),
        (reflection_pb2, V1, "grpc/reflection/v1/reflection.proto"),
        (reflection_pb2, V1ALPHA, "grpc/reflection/v1alpha/reflection.proto"),
    ):
        pool.AddSerializedFile(_renamed(view.DESCRIPTOR.serialized_pb, package, path).SerializeToString())
    return pool


def _file_with(symbol: str, described: DescriptorPool) -> FileDescriptor:
    """Raises KeyError."""
    try:
        return described.FindFileContainingSymbol(symbol)
    except KeyError:  # to the pool a method is no symbol; to the protocol it is
        return described.FindMethodByName(symbol).containing_service.file


def _renamed(view: bytes, package: str, path: str) -> FileDescriptorProto:
    from google.protobuf.descriptor_pb2 import FileDescriptorProto  # noqa: PLC0415

    file = FileDescriptorProto.FromString(view)
    ours, theirs = f".{file.package}.", f".{package}."

    def rename(message: DescriptorProto) -> None:
        for field in message.field:
            if field.type_name:  # "" set is not the same as not set
                field.type_name = field.type_name.replace(ours, theirs, 1)
        for nested in message.nested_type:
            rename(nested)

    file.name, file.package = path, package
    for message in file.message_type:
        rename(message)
    for service in file.service:
        for method in service.method:
            method.input_type = method.input_type.replace(ours, theirs, 1)
            method.output_type = method.output_type.replace(ours, theirs, 1)
    return file


async def _send(call: Call, message: bytes) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            await call.send(message)
    except TimeoutError:
        raise RpcError(Status.DEADLINE_EXCEEDED, "The answers were not read.") from None
