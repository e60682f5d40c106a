"""A decision as the bytes of an `envoy.service.ext_proc.v3.ProcessingResponse`."""

from __future__ import annotations

from collections.abc import Iterable

from sidecar.authz.refusal import Refusal
from sidecar.authz.replies import CLUSTER_HEADER, HOST_HEADER, TENANT_HEADER
from sidecar.directory.entry import Entry
from sidecar.wire.process_pb2 import ProcessingResponse


def passed(entry: Entry, cluster: str, client: Iterable[tuple[str, str]] = ()) -> bytes:
    """The request goes on to the upstream with the headers of the routing contract, as of ext_authz."""
    response = ProcessingResponse()
    mutation = response.request_headers.response.header_mutation
    headers = ((TENANT_HEADER, entry.tenant_id), (HOST_HEADER, entry.hostname), (CLUSTER_HEADER, cluster), *client)
    _set(mutation, headers)
    return response.SerializeToString()


def refused(refusal: Refusal) -> bytes:
    """What the client gets, whole."""
    response = ProcessingResponse()
    response.immediate_response.status.code = refusal.status
    response.immediate_response.body = refusal.body.encode()
    _set(response.immediate_response.headers, refusal.headers)
    return response.SerializeToString()


def _set(mutation: ProcessingResponse.HeaderMutation, headers: Iterable[tuple[str, str]]) -> None:
    for key, value in headers:
        # Unlike in ext_authz, append_action decides here: the default would add our value to the client's.
        option = mutation.set_headers.add(append_action=ProcessingResponse.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD)
        option.header.key = key
        option.header.raw_value = value.encode("ascii")
