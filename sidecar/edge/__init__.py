"""The edge: what all domains share. Upstream services, whom to trust, what to present, who must present what.

In the order data flows: queries.sql → reader → rows → table (after the directory's feed) ← xds, authz, explain.
"""
