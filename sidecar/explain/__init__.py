"""What would happen to a host now, and why: the data path's own code, asked without being counted.

question (query string → Question) → explain (Policy, Resolver, the edge, the Envoys → JSON) → sidecar.admin
"""
