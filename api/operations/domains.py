"""What a tenant can do with its domains."""

from __future__ import annotations

from collections.abc import Mapping

from api.operations.operation import BODY, EVERYWHERE, NO_BODY, QUERY, Operation, Success
from core.hostname import HostnameCode

# Valid wildcards have a code of their own here.
HOSTNAMES = (
    *(code.value for code in HostnameCode if code is not HostnameCode.WILDCARD_NOT_ALLOWED),
    "wildcard_unsupported",
)
REGISTRATION = ("hostname_taken", "hostname_cooling_down", "domain_limit_reached", "registrations_too_many")
# What a line of an import can be answered with.
LINE_PROBLEMS = (*HOSTNAMES, *REGISTRATION, "hostname_repeated", "wrong_type")

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
            *EVERYWHERE,
            *QUERY,
            *BODY,
            *HOSTNAMES,
            *REGISTRATION,
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
            *EVERYWHERE,
            *QUERY,
            *BODY,
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
        problems=(*EVERYWHERE, *QUERY, "invalid_cursor"),
        head=True,
    ),
    Operation(
        name="getDomain",
        method="GET",
        path="/domains/{id}",
        summary="Show a domain: verification, certificate, readiness",
        parameters=("id", "X-Request-Id"),
        successes={200: Success("The domain.", "Domain")},
        problems=(*EVERYWHERE, *QUERY, "domain_not_found"),
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
        problems=(*EVERYWHERE, *QUERY, "domain_not_found"),
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
            *EVERYWHERE,
            *QUERY,
            *NO_BODY,
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
        problems=(*EVERYWHERE, *QUERY, "domain_not_found", "verification_too_soon"),
    ),
    Operation(
        name="pauseDomain",
        method="POST",
        path="/domains/{id}/pause",
        summary="Order and renew nothing for a domain until it is resumed",
        description="It is served as long as its certificate lasts; you are warned before that ends. Only resuming it "
        "ends the pause. Its DNS is looked at as before, for it says whose the name is.",
        parameters=("id", "X-Request-Id"),
        body="Nothing",
        body_required=False,
        successes={200: Success("It is paused, now or already.", "Domain")},
        problems=(*EVERYWHERE, *QUERY, *NO_BODY, "domain_not_found", "domain_not_pausable", "pause_too_soon"),
    ),
    Operation(
        name="resumeDomain",
        method="POST",
        path="/domains/{id}/resume",
        summary="Go on with what was paused or has failed",
        description="A failed domain has a new window to be proven; a certificate that is wanted is tried for at once. "
        "What was paused by request goes on where it was: no order is spent on a certificate that is not due.",
        parameters=("id", "X-Request-Id"),
        body="Nothing",
        body_required=False,
        successes={202: Success("It goes on; its result will show in the domain.", "Domain")},
        problems=(*EVERYWHERE, *QUERY, *NO_BODY, "domain_not_found", "domain_not_paused", "domain_moved"),
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
            *EVERYWHERE,
            *QUERY,
            *NO_BODY,
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
            *EVERYWHERE,
            *QUERY,
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
        problems=(*EVERYWHERE, *QUERY, "invalid_cursor", "domain_not_found"),
        head=True,
    ),
    Operation(
        name="getQuota",
        method="GET",
        path="/quota",
        summary="How many domains the plan allows, and how many there are",
        parameters=("X-Request-Id",),
        successes={200: Success("The quota.", "Quota")},
        problems=(*EVERYWHERE, *QUERY),
        head=True,
    ),
)
