"""What operators' tools are told of a server, answer by answer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2

from sidecar.grpcfast import RpcError, Status
from sidecar.reflection import NOT_DESCRIBED, NOTHING_ASKED, Reflection, descriptors
from sidecar.wire import reflection_pb2
from sidecar.wire.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

AUTHORIZATION = "envoy.service.auth.v3.Authorization"
METHODS = (f"/{AUTHORIZATION}/Check", "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch")

HEALTH_FILE = "grpc/health/v1/health.proto"
V1_FILE = "grpc/reflection/v1/reflection.proto"
V1ALPHA_FILE = "grpc/reflection/v1alpha/reflection.proto"


def ask(**fields: object) -> ServerReflectionResponse:
    request = ServerReflectionRequest(**fields)
    return ServerReflectionResponse.FromString(
        Reflection(METHODS).answer(request.SerializeToString(), descriptors()),
    )


def file_of(response: ServerReflectionResponse) -> FileDescriptorProto:
    (data,) = response.file_descriptor_response.file_descriptor_proto
    return FileDescriptorProto.FromString(data)


def test_every_service_of_the_server_is_listed_once_and_reflection_with_them() -> None:
    services = [service.name for service in ask(list_services="*").list_services_response.service]
    assert services == [
        AUTHORIZATION,
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ]


def test_the_health_file_is_the_published_one_but_for_its_options() -> None:
    published = FileDescriptorProto.FromString(health_pb2.DESCRIPTOR.serialized_pb)
    published.ClearField("options")
    published.name = HEALTH_FILE  # the package of grpcio has it in another directory
    assert file_of(ask(file_by_filename=HEALTH_FILE)) == published


@pytest.mark.parametrize(
    ("symbol", "file"),
    [
        ("grpc.health.v1.Health", HEALTH_FILE),
        ("grpc.health.v1.Health.Check", HEALTH_FILE),
        ("grpc.health.v1.HealthCheckRequest", HEALTH_FILE),
        ("grpc.health.v1.HealthCheckRequest.service", HEALTH_FILE),
        ("grpc.health.v1.HealthCheckResponse.ServingStatus", HEALTH_FILE),
        ("grpc.health.v1.HealthCheckResponse.NOT_SERVING", HEALTH_FILE),
        ("grpc.reflection.v1.ServerReflection", V1_FILE),
        ("grpc.reflection.v1alpha.ServerReflection.ServerReflectionInfo", V1ALPHA_FILE),
        ("grpc.reflection.v1alpha.ErrorResponse", V1ALPHA_FILE),
    ],
)
def test_a_symbol_is_found_in_its_file(symbol: str, file: str) -> None:
    assert file_of(ask(file_containing_symbol=symbol)).name == file


@pytest.mark.parametrize(
    ("file", "package"), [(V1_FILE, "grpc.reflection.v1"), (V1ALPHA_FILE, "grpc.reflection.v1alpha")]
)
def test_reflection_describes_itself_in_both_packages(file: str, package: str) -> None:
    described = file_of(ask(file_by_filename=file))
    assert (described.name, described.package) == (file, package)
    assert "nameplate" not in str(described)
    view = FileDescriptorProto.FromString(reflection_pb2.DESCRIPTOR.serialized_pb)
    assert [message.name for message in described.message_type] == [message.name for message in view.message_type]
    (method,) = described.service[0].method
    assert (method.client_streaming, method.server_streaming) == (True, True)
    assert method.input_type == f".{package}.ServerReflectionRequest"


@pytest.mark.parametrize(
    "fields",
    [
        {"file_containing_symbol": AUTHORIZATION},
        {"file_containing_symbol": "grpc.health.v1"},
        {"file_containing_symbol": "grpc.health.v1.Health.Nothing"},
        {"file_containing_symbol": ""},
        {"file_containing_symbol": "nameplate.wire.HealthCheckRequest"},
        {"file_by_filename": "envoy/service/auth/v3/external_auth.proto"},
        {"file_by_filename": "sidecar/wire/health.proto"},
        {"all_extension_numbers_of_type": "grpc.health.v1.HealthCheckRequest"},
        {"file_containing_extension": {"containing_type": "grpc.health.v1.HealthCheckRequest", "extension_number": 1}},
    ],
)
def test_everything_else_is_not_found_and_the_answer_says_what_to_use(fields: dict[str, object]) -> None:
    error = ask(**fields).error_response
    assert (error.error_code, error.error_message) == (Status.NOT_FOUND, NOT_DESCRIBED)


def test_a_request_that_asks_for_nothing_is_an_invalid_argument() -> None:
    error = ask(host="here").error_response
    assert (error.error_code, error.error_message) == (Status.INVALID_ARGUMENT, NOTHING_ASKED)


def test_what_is_no_request_ends_the_call() -> None:
    with pytest.raises(RpcError) as caught:
        Reflection(METHODS).answer(b"\xff", descriptors())
    assert caught.value.status is Status.INVALID_ARGUMENT


def test_the_request_and_its_host_are_repeated() -> None:
    response = ask(host="edge.test", list_services="all")
    assert response.valid_host == "edge.test"
    assert response.original_request == ServerReflectionRequest(host="edge.test", list_services="all")


def test_a_start_imports_neither_its_messages_nor_the_descriptors_of_descriptors() -> None:
    code = "import sys, sidecar.process; print(*sys.modules, sep='\\n')"
    modules = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "sidecar.checks" in modules
    assert not {"sidecar.wire.reflection_pb2", "google.protobuf.descriptor_pb2"} & set(modules)
