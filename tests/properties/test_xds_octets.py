"""Requests with any octets for names: those that are text are read, with all else."""

from __future__ import annotations

import contextlib

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from sidecar.wire import discovery_pb2 as wire
from sidecar.xds.octets import read

NAMES = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=4).map(str.encode) | st.binary(max_size=4))
TYPE = "type.googleapis.com/x"


def texts(names: list[bytes]) -> list[str]:
    found = []
    for name in names:
        with contextlib.suppress(UnicodeDecodeError):
            found.append(name.decode())
    return found


@given(wanted=NAMES, unwanted=NAMES, words=st.none() | st.binary(max_size=4))
def test_of_a_delta_request_only_names_that_are_no_text_are_left_out(
    wanted: list[bytes], unwanted: list[bytes], words: bytes | None
) -> None:
    rest = wire.DeltaDiscoveryRequest(
        node=wire.Node(id="envoy"), type_url=TYPE, initial_resource_versions={"a": "1"}, response_nonce="7"
    )
    octets = wire.DeltaOctets(resource_names_subscribe=wanted, resource_names_unsubscribe=unwanted)
    if words is not None:
        octets.error_detail = bytes([0x12, len(words)]) + words
    request = read(wire.DeltaDiscoveryRequest, octets.SerializeToString() + rest.SerializeToString())
    assert list(request.resource_names_subscribe) == texts(wanted)
    assert list(request.resource_names_unsubscribe) == texts(unwanted)
    assert request.HasField("error_detail") is (words is not None)
    if words is not None:
        assert request.error_detail.message in [*texts([words]), ""]
    for field in ("resource_names_subscribe", "resource_names_unsubscribe", "error_detail"):
        request.ClearField(field)
    assert request == rest


@given(listed=NAMES)
def test_the_same_of_a_state_of_the_world_request(listed: list[bytes]) -> None:
    rest = wire.DiscoveryRequest(version_info="1", node=wire.Node(id="envoy"), type_url=TYPE, response_nonce="7")
    octets = wire.Octets(resource_names=listed, error_detail=b"")
    request = read(wire.DiscoveryRequest, octets.SerializeToString() + rest.SerializeToString())
    assert list(request.resource_names) == texts(listed)
    assert request.HasField("error_detail")
    request.ClearField("resource_names")
    request.ClearField("error_detail")
    assert request == rest


@pytest.mark.parametrize("kind", [wire.DeltaDiscoveryRequest, wire.DiscoveryRequest])
@given(data=st.data())
def test_any_octets_are_read_or_refused(
    kind: type[wire.DeltaDiscoveryRequest] | type[wire.DiscoveryRequest], data: st.DataObject
) -> None:
    with contextlib.suppress(DecodeError):
        read(kind, data.draw(st.binary(max_size=40)))
