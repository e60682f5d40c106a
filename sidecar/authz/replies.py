"""A decision as the bytes of an `envoy.service.auth.v3.CheckResponse`.

No reply sets `append`: with it, Envoy would add our x-tenant-id beside the client's own.
"""

from __future__ import annotations

from collections.abc import Iterable

from sidecar.authz.refusal import Refusal
from sidecar.directory.entry import Entry
from sidecar.wire.check_pb2 import CheckResponse

TENANT_HEADER = "x-tenant-id"
HOST_HEADER = "x-nameplate-host"
CLUSTER_HEADER = "x-nameplate-cluster"

# google.rpc.Code, not an HTTP status: any code but 0 denies, and this one says why.
PERMISSION_DENIED = 7


def passed(entry: Entry, cluster: str, client: Iterable[tuple[str, str]] = ()) -> bytes:
    """The request goes on to the upstream with the headers of the routing contract, whatever the client sent.

    That of the cluster is for Envoy's route, which removes it. `client`: headers that say who the client is.
    """
    response = CheckResponse()
    headers = ((TENANT_HEADER, entry.tenant_id), (HOST_HEADER, entry.hostname), (CLUSTER_HEADER, cluster), *client)
    _set(response.ok_response, headers)
    return response.SerializeToString()


def connection_passed(entry: Entry, cluster: str) -> bytes:
    """The connection goes on. Its requests are told of the tenant by dynamic metadata, four texts:

    `tenant`: the tenant's UUID. `domain`: what the decision is voided by when it ends, the UUID of the registration, or
    of the tenant for a platform subdomain. `host`: the hostname of the row. `cluster`: where its requests go.
    """
    response = CheckResponse()
    fields = response.dynamic_metadata.fields
    fields["tenant"].string_value = entry.tenant_id
    fields["domain"].string_value = entry.registration
    fields["host"].string_value = entry.hostname
    fields["cluster"].string_value = cluster
    # A map has no order of its own; the same decision has the same bytes.
    return response.SerializeToString(deterministic=True)


def denied(refusal: Refusal) -> bytes:
    """What the client gets, whole. The network filter only closes the connection."""
    response = CheckResponse()
    response.status.code = PERMISSION_DENIED
    response.denied_response.status.code = refusal.status
    response.denied_response.body = refusal.body
    _set(response.denied_response, refusal.headers)
    return response.SerializeToString()


def _set(
    response: CheckResponse.OkHttpResponse | CheckResponse.DeniedHttpResponse, headers: Iterable[tuple[str, str]]
) -> None:
    for key, value in headers:
        option = response.headers.add(append_action=CheckResponse.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD)
        option.header.key = key
        option.header.value = value
