"""The directory: which tenant a hostname belongs to, and which certificate serves it; answered from memory.

In the order data flows: queries.sql → reader → feed, reload, source → directory ← xds, authz. `service` wires them.
"""
