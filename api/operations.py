"""What the tenants' API can do: each operation with everything it can answer. Only data.

The routes, the OpenAPI document and the tests are made from this table, so they cannot disagree about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from api.catalogue import CATALOGUE
from core.hostname import HostnameCode

PREFIXES = ("/api/v1", "/v1")

_TOKENS = tuple(code for code, kind in CATALOGUE.items() if kind.status == 401)
_EVERYWHERE = (*_TOKENS, "precondition_failed", "keys_unavailable", "database_unavailable", "internal_error")
_QUERY = ("unknown_parameter", "invalid_parameter")
_BODY = (
    "unsupported_media_type",
    "body_too_large",
    "invalid_json",
    "duplicate_field",
    "unknown_field",
    "missing_field",
    "wrong_type",
)
# Valid wildcards have a code of their own here.
_HOSTNAMES = (
    *(code.value for code in HostnameCode if code is not HostnameCode.WILDCARD_NOT_ALLOWED),
    "wildcard_unsupported",
)
_REGISTRATION = ("hostname_taken", "hostname_cooling_down", "domain_limit_reached", "registrations_too_many")
_NOTIFICATIONS = (*_EVERYWHERE, *_QUERY, "notifications_unavailable")
_NO_BODY = tuple(code for code in _BODY if code != "missing_field")
# What a line of an import can be answered with.
LINE_PROBLEMS = (*_HOSTNAMES, *_REGISTRATION, "hostname_repeated", "wrong_type")


@dataclass(frozen=True, slots=True)
class Success:
    """`schema` is a name in `api.schemas`, `headers` are in `api.parameters`."""

    description: str
    schema: str | None = None
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """`path`: below each of PREFIXES. `head`: HEAD is answered as GET without the body."""

    name: str
    method: Literal["GET", "POST", "DELETE"]
    path: str
    summary: str
    successes: Mapping[int, Success]
    problems: tuple[str, ...]
    parameters: tuple[str, ...] = ()
    body: str | None = None
    body_required: bool = True
    head: bool = False
    description: str = ""


_VERIFIED: Mapping[int, Success] = {
    200: Success("The domain is verified already; there was nothing to do.", "Domain"),
    202: Success("A DNS lookup was requested; its result will show in the domain.", "Domain"),
}
_VERIFY = "For a pending domain. A failed one starts again, with a new window. At most once in 5 seconds for a domain."

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name="addDomain",
        method="POST",
        path="/domains",
        summary="Register a domain",
        description="The answer says which DNS records to make. Verification begins at once.",
        parameters=("Idempotency-Key", "X-Request-Id"),
        body="NewDomain",
        successes={
            201: Success("Registered.", "Registration", ("Location", "Idempotent-Replayed")),
        },
        problems=(
            *_EVERYWHERE,
            *_QUERY,
            *_BODY,
            *_HOSTNAMES,
            *_REGISTRATION,
            "domain_exists",
            "invalid_idempotency_key",
            "idempotency_key_reused",
        ),
    ),
    Operation(
        name="importDomains",
        method="POST",
        path="/domains/import",
        summary="Register many domains",
        description="Each line has its own answer, with the codes of POST /domains; a bad one spoils no other.",
        parameters=("Idempotency-Key", "X-Request-Id"),
        body="NewDomains",
        successes={200: Success("What became of each line.", "ImportReport", ("Idempotent-Replayed",))},
        problems=(
            *_EVERYWHERE,
            *_QUERY,
            *_BODY,
            "list_too_long",
            "invalid_idempotency_key",
            "idempotency_key_reused",
        ),
    ),
    Operation(
        name="listDomains",
        method="GET",
        path="/domains",
        summary="List the tenant's domains, oldest first",
        parameters=("limit", "cursor", "status", "X-Request-Id"),
        successes={200: Success("A page.", "DomainList", ("Link",))},
        problems=(*_EVERYWHERE, *_QUERY, "invalid_cursor"),
        head=True,
    ),
    Operation(
        name="getDomain",
        method="GET",
        path="/domains/{id}",
        summary="Show a domain: verification, certificate, readiness",
        parameters=("id", "X-Request-Id"),
        successes={200: Success("The domain.", "Domain")},
        problems=(*_EVERYWHERE, *_QUERY, "domain_not_found"),
        head=True,
    ),
    Operation(
        name="deleteDomain",
        method="DELETE",
        path="/domains/{id}",
        summary="Detach a domain",
        description="It is not served any more, its certificate is revoked and its key destroyed.",
        parameters=("id", "X-Request-Id"),
        successes={204: Success("Detached.")},
        problems=(*_EVERYWHERE, *_QUERY, "domain_not_found"),
    ),
    Operation(
        name="verifyDomain",
        method="POST",
        path="/domains/{id}/verify",
        summary="Look at the DNS now",
        description=_VERIFY,
        parameters=("id", "X-Request-Id"),
        body="Nothing",
        body_required=False,
        successes=_VERIFIED,
        problems=(
            *_EVERYWHERE,
            *_QUERY,
            *_NO_BODY,
            "domain_not_found",
            "verification_too_soon",
        ),
    ),
    Operation(
        name="verifyDomainByGet",
        method="GET",
        path="/domains/{id}/verify",
        summary="Look at the DNS now, by GET",
        description=_VERIFY + " The same as POST, for clients that were written for it.",
        parameters=("id", "X-Request-Id"),
        successes=_VERIFIED,
        problems=(*_EVERYWHERE, *_QUERY, "domain_not_found", "verification_too_soon"),
    ),
    Operation(
        name="resumeDomain",
        method="POST",
        path="/domains/{id}/resume",
        summary="Try again what was paused or has failed",
        description="A failed domain has a new window to be proven; a paused certificate is tried for at once.",
        parameters=("id", "X-Request-Id"),
        body="Nothing",
        body_required=False,
        successes={202: Success("It goes on; its result will show in the domain.", "Domain")},
        problems=(*_EVERYWHERE, *_QUERY, *_NO_BODY, "domain_not_found", "domain_not_paused", "domain_moved"),
    ),
    Operation(
        name="renewDomain",
        method="POST",
        path="/domains/{id}/renew",
        summary="Have the certificate issued anew",
        description="The old one is served until the new one is there. At most once in an hour for a domain.",
        parameters=("id", "X-Request-Id"),
        body="Nothing",
        body_required=False,
        successes={
            200: Success("A renewal is under way already.", "Domain"),
            202: Success("A renewal was requested; its result will show in the domain.", "Domain"),
        },
        problems=(
            *_EVERYWHERE,
            *_QUERY,
            *_NO_BODY,
            "domain_not_found",
            "domain_not_active",
            "domain_moved",
            "domain_paused",
            "renewal_too_soon",
        ),
    ),
    Operation(
        name="diagnoseDomain",
        method="GET",
        path="/domains/{id}/diagnosis",
        summary="What stands between a domain and its certificate, looked at now",
        description="DNS, CAA and port 80, expected against found. At most once in 5 seconds for a domain.",
        parameters=("id", "X-Request-Id"),
        successes={200: Success("The findings.", "Diagnosis")},
        problems=(
            *_EVERYWHERE,
            *_QUERY,
            "domain_not_found",
            "diagnosis_too_soon",
            "diagnosis_unavailable",
            "too_many_requests",
        ),
    ),
    Operation(
        name="auditDomain",
        method="GET",
        path="/domains/{id}/audit",
        summary="What happened to a domain, newest first, also once it is deleted",
        parameters=("id", "limit", "auditCursor", "X-Request-Id"),
        successes={200: Success("A page.", "Audit", ("Link",))},
        problems=(*_EVERYWHERE, *_QUERY, "invalid_cursor", "domain_not_found"),
        head=True,
    ),
    Operation(
        name="getQuota",
        method="GET",
        path="/quota",
        summary="How many domains the plan allows, and how many there are",
        parameters=("X-Request-Id",),
        successes={200: Success("The quota.", "Quota")},
        problems=(*_EVERYWHERE, *_QUERY),
        head=True,
    ),
    Operation(
        name="addEndpoint",
        method="POST",
        path="/notifications",
        summary="Be told of what happens, by webhook or mail",
        description="Webhooks are signed by the Standard Webhooks scheme; the secret is shown here, and never again.",
        parameters=("X-Request-Id",),
        body="NewEndpoint",
        successes={201: Success("Made.", "MadeEndpoint", ("Location",))},
        problems=(
            *_NOTIFICATIONS,
            *_BODY,
            "kind_unknown",
            "address_refused",
            "event_unknown",
            "mail_unavailable",
            "endpoint_limit_reached",
            "secrets_unavailable",
        ),
    ),
    Operation(
        name="listEndpoints",
        method="GET",
        path="/notifications",
        summary="List the tenant's endpoints, oldest first",
        parameters=("X-Request-Id",),
        successes={200: Success("All of them.", "EndpointList")},
        problems=_NOTIFICATIONS,
        head=True,
    ),
    Operation(
        name="getEndpoint",
        method="GET",
        path="/notifications/{id}",
        summary="Show an endpoint",
        parameters=("endpoint", "X-Request-Id"),
        successes={200: Success("The endpoint.", "Endpoint")},
        problems=(*_NOTIFICATIONS, "endpoint_not_found"),
        head=True,
    ),
    Operation(
        name="deleteEndpoint",
        method="DELETE",
        path="/notifications/{id}",
        summary="Be told no more there",
        description="What waits for it is not sent any more, and its secret is destroyed.",
        parameters=("endpoint", "X-Request-Id"),
        successes={204: Success("Removed.")},
        problems=(*_NOTIFICATIONS, "endpoint_not_found"),
    ),
    Operation(
        name="rotateEndpointSecret",
        method="POST",
        path="/notifications/{id}/rotate-secret",
        summary="Replace a webhook's signing secret",
        description="For a day the old one signs too, so that the receiver can change at its leisure.",
        parameters=("endpoint", "X-Request-Id"),
        body="Nothing",
        body_required=False,
        successes={200: Success("The new one.", "EndpointSecret")},
        problems=(
            *_NOTIFICATIONS,
            *_NO_BODY,
            "endpoint_not_found",
            "endpoint_has_no_secret",
            "secrets_unavailable",
        ),
    ),
    Operation(
        name="testEndpoint",
        method="POST",
        path="/notifications/{id}/test",
        summary="Send a test message now",
        description="One that succeeds takes a disabled endpoint in use again. At most once in 10 seconds.",
        parameters=("endpoint", "X-Request-Id"),
        body="Nothing",
        body_required=False,
        successes={202: Success("It is being sent.", "Delivery")},
        problems=(*_NOTIFICATIONS, *_NO_BODY, "endpoint_not_found", "test_too_soon"),
    ),
    Operation(
        name="listDeliveries",
        method="GET",
        path="/notifications/{id}/deliveries",
        summary="What was sent there, newest first, and what was given up",
        description="What was delivered or given up is kept for 30 days.",
        parameters=("endpoint", "deliveryState", "limit", "X-Request-Id"),
        successes={200: Success("The latest.", "DeliveryList")},
        problems=(*_NOTIFICATIONS, "endpoint_not_found"),
        head=True,
    ),
    Operation(
        name="retryDelivery",
        method="POST",
        path="/notifications/{id}/deliveries/{delivery}/retry",
        summary="Send once more what was given up",
        parameters=("endpoint", "delivery", "X-Request-Id"),
        body="Nothing",
        body_required=False,
        successes={202: Success("It is being sent.", "Delivery")},
        problems=(*_NOTIFICATIONS, *_NO_BODY, "endpoint_not_found", "delivery_not_found"),
    ),
)
