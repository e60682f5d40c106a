"""The types of resources, by their type URLs."""

from __future__ import annotations

from typing import Final

from sidecar.certs.secrets import SECRET_TYPE
from sidecar.xds.ended import FILTER_TYPE

CLUSTER: Final = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
ENDPOINT: Final = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
LISTENER: Final = "type.googleapis.com/envoy.config.listener.v3.Listener"
ROUTE: Final = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
SECRET: Final = SECRET_TYPE
EXTENSION: Final = FILTER_TYPE

# What refers to something comes after it: XDS#eventual-consistency-considerations.
ORDER: Final = (CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET, EXTENSION)

# Those whose resources lie in a sidecar.xds.configurations.ConfigurationTable.
CONFIGURATIONS: Final = (CLUSTER, ENDPOINT, LISTENER, ROUTE)
# XDS#grouping-resources-into-responses: in state of the world a response is the whole set, and absence is removal.
WHOLE: Final = frozenset({CLUSTER, LISTENER})

# In metrics and logs.
NAMES: Final = {
    CLUSTER: "cluster",
    ENDPOINT: "endpoint",
    LISTENER: "listener",
    ROUTE: "route",
    SECRET: "secret",
    EXTENSION: "extension",
}
