"""Envoy's listeners, routes and clusters, built from the sidecar's settings and the edge.

In the order in which they are put together: plan → messages → extension → filters, replies → connection_manager →
tls → chains → listeners; routes; upstream_tls → clusters; and all of them: build → resources (when, and for whom).

Nothing here grows with the number of domains, but for those that ask for client certificates: a filter chain each.
"""
