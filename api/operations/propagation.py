"""What a tenant can ask of how far a change of its domain has come."""

from __future__ import annotations

from api.operations.operation import EVERYWHERE, QUERY, Operation, Success

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name="getPropagation",
        method="GET",
        path="/domains/{id}/propagation",
        summary="How many sidecars have the last change of a domain, and how many Envoys have acknowledged it",
        description="Also once the domain is deleted: then the change is its end.",
        parameters=("id", "X-Request-Id"),
        successes={200: Success("How far it has come, now.", "Propagation")},
        problems=(*EVERYWHERE, *QUERY, "domain_not_found"),
        head=True,
    ),
)
