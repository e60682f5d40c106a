"""The least that an Envoy can be told to serve."""

from __future__ import annotations

CONFIGURATION = """
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: 1}}}}}}
static_resources:
  listeners:
  - name: main
    address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: main
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {{prefix: /}}
                direct_response: {{status: 200, body: {{inline_string: {text}}}}}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
"""


def answering(port: int, text: str = "served") -> str:
    """A configuration: every request to this port of loopback is answered with the text."""
    return CONFIGURATION.format(port=port, text=text)
