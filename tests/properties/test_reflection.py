"""Any bytes are answered, or refused as no request; an answer always repeats what was asked."""

from __future__ import annotations

from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from sidecar.grpcfast import RpcError, Status
from sidecar.reflection import Reflection, descriptors
from sidecar.wire.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

DESCRIBED = descriptors()
REFLECTION = Reflection(["/grpc.health.v1.Health/Check"])

# Mostly one field of a request with any bytes in it, or nearly every example would be no message at all.
names = st.one_of(
    st.binary(max_size=40),
    st.text(max_size=20).map(str.encode),
    st.sampled_from([b"grpc.health.v1.Health", b"grpc.health.v1.Health.Check", b"grpc/health/v1/health.proto"]),
)
fields = st.tuples(st.integers(1, 9), names).map(lambda field: bytes([field[0] << 3 | 2, len(field[1])]) + field[1])
requests = st.one_of(st.lists(fields, max_size=4).map(b"".join), st.binary(max_size=60))


@given(requests)
def test_any_bytes_are_answered_or_refused(data: bytes) -> None:
    try:
        asked = ServerReflectionRequest.FromString(data)
    except DecodeError:
        asked = None
    try:
        response = ServerReflectionResponse.FromString(REFLECTION.answer(data, DESCRIBED))
    except RpcError as problem:
        assert asked is None
        assert problem.status is Status.INVALID_ARGUMENT
        return
    assert asked is not None
    assert response.original_request == asked
    assert response.valid_host == asked.host
    kind, answer = asked.WhichOneof("message_request"), response.WhichOneof("message_response")
    if kind is None:
        assert response.error_response.error_code == Status.INVALID_ARGUMENT
    elif kind == "list_services":
        assert answer == "list_services_response"
    elif answer == "error_response":
        assert response.error_response.error_code == Status.NOT_FOUND
    else:
        assert (kind, answer) in {
            ("file_containing_symbol", "file_descriptor_response"),
            ("file_by_filename", "file_descriptor_response"),
        }
