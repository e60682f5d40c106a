"""Our views of the xDS messages agree with Envoy's full ones (envoy-data-plane), both ways."""

from __future__ import annotations

import warnings

import betterproto2
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from sidecar.wire import discovery_pb2, secret_pb2

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # theirs: validators in a form that pydantic gives up
    from envoy_data_plane.envoy.config.core.v3 import ControlPlane, DataSource, Locality, Node
    from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import Secret, TlsCertificate
    from envoy_data_plane.envoy.service.discovery.v3 import (
        DeltaDiscoveryRequest,
        DeltaDiscoveryResponse,
        DiscoveryRequest,
        DiscoveryResponse,
        Resource,
    )
    from envoy_data_plane.google.protobuf import Any
    from envoy_data_plane.google.rpc import Status

# No lone surrogates: they are no text on the wire.
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
texts = st.lists(text, max_size=4)
blob = st.binary(max_size=40)

nodes = st.builds(Node, id=text, cluster=text, locality=st.none() | st.builds(Locality, zone=text))
statuses = st.builds(Status, code=st.integers(-(2**31), 2**31 - 1), message=text)
# Never empty, as in life: an empty message field of ours is left out, where Envoy's would be present and empty.
anys = st.builds(Any, type_url=st.just("type.googleapis.com/x"), value=blob)
resources = st.builds(Resource, name=text, version=text, resource=anys, aliases=texts)
sources = st.builds(DataSource, inline_bytes=st.binary(min_size=1, max_size=40))


@given(
    st.builds(
        DeltaDiscoveryRequest,
        node=nodes,
        type_url=text,
        resource_names_subscribe=texts,
        resource_names_unsubscribe=texts,
        initial_resource_versions=st.dictionaries(text, text, max_size=4),
        response_nonce=text,
        error_detail=st.none() | statuses,
    )
)
def test_a_delta_request_of_envoy_is_read_whole(theirs: DeltaDiscoveryRequest) -> None:
    ours = discovery_pb2.DeltaDiscoveryRequest.FromString(bytes(theirs))
    assert ours.node.id == theirs.node.id
    assert ours.type_url == theirs.type_url
    assert list(ours.resource_names_subscribe) == theirs.resource_names_subscribe
    assert list(ours.resource_names_unsubscribe) == theirs.resource_names_unsubscribe
    assert dict(ours.initial_resource_versions) == theirs.initial_resource_versions
    assert ours.response_nonce == theirs.response_nonce
    assert ours.HasField("error_detail") == (theirs.error_detail is not None)
    if theirs.error_detail is not None:
        assert (ours.error_detail.code, ours.error_detail.message) == (
            theirs.error_detail.code,
            theirs.error_detail.message,
        )


@given(
    st.builds(
        DiscoveryRequest,
        version_info=text,
        node=nodes,
        resource_names=texts,
        type_url=text,
        response_nonce=text,
        error_detail=st.none() | statuses,
    )
)
def test_a_state_of_the_world_request_of_envoy_is_read_whole(theirs: DiscoveryRequest) -> None:
    ours = discovery_pb2.DiscoveryRequest.FromString(bytes(theirs))
    assert ours.version_info == theirs.version_info
    assert ours.node.id == theirs.node.id
    assert list(ours.resource_names) == theirs.resource_names
    assert ours.type_url == theirs.type_url
    assert ours.response_nonce == theirs.response_nonce
    assert ours.HasField("error_detail") == (theirs.error_detail is not None)


@given(
    st.builds(
        DeltaDiscoveryResponse,
        system_version_info=text,
        resources=st.lists(resources, max_size=3),
        type_url=text,
        nonce=text,
        removed_resources=texts,
        control_plane=st.none() | st.builds(ControlPlane, identifier=text),
    )
)
def test_a_delta_response_is_the_same_message_both_ways(theirs: DeltaDiscoveryResponse) -> None:
    ours = discovery_pb2.DeltaDiscoveryResponse.FromString(bytes(theirs))
    assert [(item.name, item.version, bytes(item.resource)) for item in ours.resources] == [
        (item.name, item.version, bytes(item.resource)) for item in theirs.resources
    ]
    back = DeltaDiscoveryResponse.parse(
        discovery_pb2.DeltaDiscoveryResponse(
            resources=[
                discovery_pb2.Resource(name=item.name, version=item.version, resource=item.resource)
                for item in ours.resources
            ],
            type_url=ours.type_url,
            nonce=ours.nonce,
            removed_resources=ours.removed_resources,
        ).SerializeToString()
    )
    assert (back.type_url, back.nonce, back.removed_resources) == (
        theirs.type_url,
        theirs.nonce,
        theirs.removed_resources,
    )
    assert [(item.name, item.version, item.resource) for item in back.resources] == [
        (item.name, item.version, item.resource) for item in theirs.resources
    ]


@given(st.lists(anys, max_size=3), text, text, text)
def test_a_state_of_the_world_response_of_ours_is_read_by_envoy(
    items: list[Any], version: str, type_url: str, nonce: str
) -> None:
    ours = discovery_pb2.DiscoveryResponse(
        version_info=version,
        resources=[discovery_pb2.Any(type_url=item.type_url, value=item.value).SerializeToString() for item in items],
        type_url=type_url,
        nonce=nonce,
    )
    theirs = DiscoveryResponse.parse(ours.SerializeToString())
    assert theirs == DiscoveryResponse(version_info=version, resources=items, type_url=type_url, nonce=nonce)


@given(text, sources, sources)
def test_a_secret_of_ours_is_read_by_envoy(name: str, chain: DataSource, key: DataSource) -> None:
    certificate = secret_pb2.TlsCertificate(
        certificate_chain=secret_pb2.DataSource(inline_bytes=chain.inline_bytes),
        private_key=secret_pb2.DataSource(inline_bytes=key.inline_bytes),
    )
    ours = secret_pb2.Secret(name=name, tls_certificate=certificate.SerializeToString())
    theirs = Secret.parse(ours.SerializeToString())
    assert theirs == Secret(name=name, tls_certificate=TlsCertificate(certificate_chain=chain, private_key=key))
    assert betterproto2.which_one_of(theirs, "type")[0] == "tls_certificate"


@given(st.binary(max_size=60))
def test_whatever_is_no_message_is_a_decode_error_and_nothing_else(data: bytes) -> None:
    for message in (discovery_pb2.DeltaDiscoveryRequest, discovery_pb2.DiscoveryRequest):
        try:
            message.FromString(data)
        except DecodeError:
            continue
