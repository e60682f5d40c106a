"""What the platform's own admin can do."""

from __future__ import annotations

from api.operations.operation import BODY, EVERYWHERE, QUERY, UPLOADED, Operation, Success

_ADMIN = (
    *(code for code in EVERYWHERE if code != "token_no_tenant"),
    *QUERY,
    "admin_only",
    "admin_unavailable",
)
_CONDITIONS = ("If-Match", "If-None-Match")
_SERVICES = (
    Operation(
        name="listServices",
        method="GET",
        path="/admin/services",
        summary="List the upstream services",
        parameters=("X-Request-Id",),
        successes={200: Success("All of them, by name.", "ServiceList")},
        problems=_ADMIN,
        head=True,
        tag="admin",
    ),
    Operation(
        name="getService",
        method="GET",
        path="/admin/services/{name}",
        summary="Show an upstream service",
        parameters=("name", "X-Request-Id"),
        successes={200: Success("The service.", "Service", ("ETag",))},
        problems=(*_ADMIN, "service_not_found"),
        head=True,
        tag="admin",
    ),
    Operation(
        name="putService",
        method="PUT",
        path="/admin/services/{name}",
        summary="Describe an upstream service, or replace its description",
        description="Envoy has it within a second, and requests under way are not cut. Whoever has chosen no service "
        "is sent to the one that is called default.",
        parameters=("name", *_CONDITIONS, "X-Request-Id"),
        body="ServiceSpec",
        successes={
            200: Success("Replaced, or as it was.", "Service", ("ETag",)),
            201: Success("Made.", "Service", ("ETag",)),
        },
        problems=(
            *_ADMIN,
            *BODY,
            "name_invalid",
            "platform_limit_reached",
            "value_out_of_range",
            "value_unknown",
            "service_address_invalid",
            "service_address_repeated",
            "service_addresses_mixed",
            "service_path_invalid",
            "tls_name_invalid",
            "tls_names_missing",
            "reference_invalid",
            "trust_unknown",
            "identity_unknown",
        ),
        tag="admin",
    ),
    Operation(
        name="deleteService",
        method="DELETE",
        path="/admin/services/{name}",
        summary="Remove an upstream service that nobody has chosen",
        parameters=("name", *_CONDITIONS, "X-Request-Id"),
        successes={204: Success("Removed.")},
        problems=(*_ADMIN, "service_not_found", "service_in_use"),
        tag="admin",
    ),
)

_TRUST = (
    Operation(
        name="listTrust",
        method="GET",
        path="/admin/trust",
        summary="List the bundles of authorities, without the bundles themselves",
        parameters=("X-Request-Id",),
        successes={200: Success("All of them, by name.", "TrustList")},
        problems=_ADMIN,
        head=True,
        tag="admin",
    ),
    Operation(
        name="getTrust",
        method="GET",
        path="/admin/trust/{name}",
        summary="Show a bundle of authorities",
        parameters=("name", "X-Request-Id"),
        successes={200: Success("The bundle.", "Trust", ("ETag",))},
        problems=(*_ADMIN, "trust_not_found"),
        head=True,
        tag="admin",
    ),
    Operation(
        name="putTrust",
        method="PUT",
        path="/admin/trust/{name}",
        summary="Upload a bundle of authorities, or replace it",
        description="The bundle that is called default is for services that name none. To rotate an authority, put "
        "both into the bundle until all upstreams have changed.",
        parameters=("name", *_CONDITIONS, "X-Request-Id"),
        body="NewTrust",
        successes={
            200: Success("Replaced, or as it was.", "Trust", ("ETag",)),
            201: Success("Made.", "Trust", ("ETag",)),
        },
        problems=(
            *_ADMIN,
            *BODY,
            "name_invalid",
            "platform_limit_reached",
            "trust_too_large",
            "trust_unreadable",
            "trust_not_a_ca",
            "trust_expired",
        ),
        tag="admin",
    ),
    Operation(
        name="deleteTrust",
        method="DELETE",
        path="/admin/trust/{name}",
        summary="Remove a bundle that no service needs",
        parameters=("name", *_CONDITIONS, "X-Request-Id"),
        successes={204: Success("Removed.")},
        problems=(*_ADMIN, "trust_not_found", "trust_in_use"),
        tag="admin",
    ),
)

_IDENTITIES = (
    Operation(
        name="listIdentities",
        method="GET",
        path="/admin/identities",
        summary="List the client certificates that upstream services are shown",
        parameters=("X-Request-Id",),
        successes={200: Success("All of them, by name.", "IdentityList")},
        problems=_ADMIN,
        head=True,
        tag="admin",
    ),
    Operation(
        name="getIdentity",
        method="GET",
        path="/admin/identities/{name}",
        summary="Show what is known of a client certificate, never its key",
        parameters=("name", "X-Request-Id"),
        successes={200: Success("The client certificate.", "Identity", ("ETag",))},
        problems=(*_ADMIN, "identity_not_found"),
        head=True,
        tag="admin",
    ),
    Operation(
        name="putIdentity",
        method="PUT",
        path="/admin/identities/{name}",
        summary="Upload a client certificate with its key, or replace it",
        description="The identity that is called default is for services that name none. Connections that are open "
        "keep the one they were made with for as long as the service's maxConnectionDurationMs.",
        parameters=("name", *_CONDITIONS, "X-Request-Id"),
        body="NewIdentity",
        successes={
            200: Success("Replaced.", "Identity", ("ETag",)),
            201: Success("Made.", "Identity", ("ETag",)),
        },
        problems=(
            *_ADMIN,
            *(code for code in BODY if code != "body_too_large"),
            *UPLOADED,
            "name_invalid",
            "platform_limit_reached",
            "changed_meanwhile",
            "keys_not_kept",
        ),
        tag="admin",
    ),
    Operation(
        name="deleteIdentity",
        method="DELETE",
        path="/admin/identities/{name}",
        summary="Remove a client certificate that no service names, and destroy its key",
        parameters=("name", *_CONDITIONS, "X-Request-Id"),
        successes={204: Success("Removed.")},
        problems=(*_ADMIN, "identity_not_found", "identity_in_use"),
        tag="admin",
    ),
)


def _choices(of: str, path: str, parameter: str, missing: str) -> tuple[Operation, ...]:
    return (
        Operation(
            name=f"get{of}Service",
            method="GET",
            path=path,
            summary=f"Show which service is chosen for a {of.lower()}",
            parameters=(parameter, "X-Request-Id"),
            successes={200: Success("The choice; null: none is made.", "Choice")},
            problems=(*_ADMIN, missing),
            head=True,
            tag="admin",
        ),
        Operation(
            name=f"put{of}Service",
            method="PUT",
            path=path,
            summary=f"Choose the service of a {of.lower()}",
            parameters=(parameter, "X-Request-Id"),
            body="NewChoice",
            successes={200: Success("It is chosen.", "Choice")},
            problems=(*_ADMIN, *BODY, missing, "service_unknown"),
            tag="admin",
        ),
        Operation(
            name=f"delete{of}Service",
            method="DELETE",
            path=path,
            summary=f"Choose no service for a {of.lower()} any more",
            parameters=(parameter, "X-Request-Id"),
            successes={204: Success("Removed.")},
            problems=(*_ADMIN, missing, "choice_not_found"),
            tag="admin",
        ),
    )


OPERATIONS: tuple[Operation, ...] = (
    *_SERVICES,
    *_TRUST,
    *_IDENTITIES,
    *_choices("Tenant", "/admin/tenants/{id}/service", "tenant", "tenant_not_found"),
    *_choices("Domain", "/admin/domains/{id}/service", "id", "domain_not_found"),
)
