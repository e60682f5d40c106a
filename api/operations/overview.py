"""What operators can look at: the fleet, all tenants' domains, what is wrong and why."""

from __future__ import annotations

from api.operations.operation import EVERYWHERE, NO_BODY, QUERY, Operation, Success

_LOOK = (
    *(code for code in EVERYWHERE if code != "token_no_tenant"),
    *QUERY,
    "admin_only",
    "admin_unavailable",
)


def _look(name: str, path: str, summary: str, shown: str, schema: str, description: str = "") -> Operation:
    return Operation(
        name=name,
        method="GET",
        path=path,
        summary=summary,
        description=description,
        parameters=("X-Request-Id",),
        successes={200: Success(shown, schema)},
        problems=_LOOK,
        head=True,
        tag="admin",
    )


OPERATIONS: tuple[Operation, ...] = (
    _look(
        "showOverview",
        "/admin/overview",
        "What is wrong just now, the worst first, and figures",
        "All at a glance.",
        "Overview",
        "The figures are counted at most every 15 seconds, and never for more than a hundredth of the time; `age` says "
        "how old they are.",
    ),
    _look(
        "listSidecars",
        "/admin/sidecars",
        "The sidecars, as the replica that answers hears them",
        "Those that are alive, and those that were within the hour.",
        "SidecarList",
    ),
    Operation(
        name="searchDomains",
        method="GET",
        path="/admin/domains",
        summary="Domains of all tenants, by name, state, or what is wrong with them",
        description="At most one of `q`, `status`, `tenant`, `failing`, `paused`, `expiring` and `late`. Without any: "
        "all, by hostname.",
        parameters=(
            "q",
            "status",
            "sslStatus",
            "ofTenant",
            "failing",
            "who",
            "paused",
            "expiring",
            "late",
            "limit",
            "placeCursor",
            "X-Request-Id",
        ),
        successes={200: Success("A page.", "AdminDomainList", ("Link",))},
        problems=(*_LOOK, "invalid_cursor", "filters_conflict", "search_too_wide"),
        head=True,
        tag="admin",
    ),
    Operation(
        name="getAdminDomain",
        method="GET",
        path="/admin/domains/{id}",
        summary="Show any tenant's domain, with all that was found; deleted ones too",
        parameters=("id", "X-Request-Id"),
        successes={200: Success("The domain.", "AdminDomain")},
        problems=(*_LOOK, "domain_not_found"),
        head=True,
        tag="admin",
    ),
    _look(
        "listLimits",
        "/admin/limits",
        "What is spent of each CA's limits, and when those that wait will have had their turn",
        "Each CA, in the operator's order.",
        "LimitList",
    ),
    _look(
        "listCas",
        "/admin/cas",
        "How the CAs have answered, by each replica of control",
        "Each replica, with its own view.",
        "ReplicaList",
    ),
    Operation(
        name="listAllDeliveries",
        method="GET",
        path="/admin/deliveries",
        summary="Notifications of all tenants by state; without one, those that were given up",
        parameters=("deliveryState", "limit", "placeCursor", "X-Request-Id"),
        successes={
            200: Success("A page: the newest, or the oldest of those that wait.", "AdminDeliveryList", ("Link",))
        },
        problems=(*_LOOK, "invalid_cursor", "filters_conflict"),
        head=True,
        tag="admin",
    ),
    Operation(
        name="retryAnyDelivery",
        method="POST",
        path="/admin/deliveries/{delivery}/retry",
        summary="Send once more what was given up, whosesoever it is",
        parameters=("delivery", "X-Request-Id"),
        body="Nothing",
        body_required=False,
        successes={202: Success("It is being sent.", "AdminDelivery")},
        problems=(*_LOOK, *NO_BODY, "delivery_not_found"),
        tag="admin",
    ),
    Operation(
        name="searchAudit",
        method="GET",
        path="/admin/audit",
        summary="The audit of all tenants, newest first",
        description="`chain` says of each entry whether it is what its seal says and follows the entry before. The "
        "whole log is looked at by `nameplate audit verify`.",
        parameters=(
            "auditHostname",
            "ofTenant",
            "actor",
            "action",
            "since",
            "until",
            "limit",
            "auditCursor",
            "X-Request-Id",
        ),
        successes={200: Success("A page.", "AdminAuditList", ("Link",))},
        problems=(*_LOOK, "invalid_cursor", "search_too_wide"),
        head=True,
        tag="admin",
    ),
    Operation(
        name="explainHost",
        method="GET",
        path="/admin/explain",
        summary="What would happen to a host now, by the memory of each sidecar that serves it",
        description="The sidecars are asked, and have three seconds. Those that say nothing are named. Nothing is "
        "loaded for it, and nothing secret is said. Who asks is in the audit.",
        parameters=("host", "sni", "path", "sidecar", "X-Request-Id"),
        successes={200: Success("What each has said, and in what they differ.", "Explanation")},
        problems=(*_LOOK, "sidecar_not_found", "explain_too_many"),
        tag="admin",
    ),
)
