"""What opens the pages for a person."""

from __future__ import annotations

from api.operations.operation import EVERYWHERE, NO_BODY, QUERY, Operation, Success

_OPERATOR = (
    *(code for code in EVERYWHERE if code not in ("token_no_tenant", "precondition_failed")),
    *QUERY,
    "admin_only",
    "portal_not_offered",
)
_ENDED = {200: Success("They have ended; so many were open.", "PortalEnding")}
_ENDS = "In all browsers, and links that nobody has followed yet. A token that is still good makes new ones. "
_ABOUT = "Send the browser there at once: the link is good for a minute and once, and begins a session of that person. "

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name="openPortal",
        method="POST",
        path="/portal/sessions",
        summary="Make a link that hands a person over to the pages, as this tenant",
        description=_ABOUT + "The audit names the token's subject for whatever is done there.",
        parameters=("X-Request-Id",),
        body="PortalSession",
        body_required=False,
        successes={201: Success("The link.", "PortalLink")},
        problems=(*EVERYWHERE, *QUERY, *NO_BODY, "domain_not_found", "portal_not_offered", "secrets_unavailable"),
    ),
    Operation(
        name="endPortal",
        method="DELETE",
        path="/portal/sessions",
        summary="End all sessions of one of the tenant's people",
        description=_ENDS,
        parameters=("subject", "X-Request-Id"),
        successes=_ENDED,
        problems=(*EVERYWHERE, *QUERY, "portal_not_offered"),
    ),
    Operation(
        name="openOperatorPortal",
        method="POST",
        path="/admin/portal/sessions",
        summary="Make a link that hands one of the platform's own people over to the operator's pages",
        description=_ABOUT,
        parameters=("X-Request-Id",),
        body="Nothing",
        body_required=False,
        successes={201: Success("The link.", "PortalLink")},
        problems=(*_OPERATOR, *NO_BODY, "secrets_unavailable"),
        tag="admin",
    ),
    Operation(
        name="endOperatorPortal",
        method="DELETE",
        path="/admin/portal/sessions",
        summary="End all sessions of one of the platform's own people",
        description=_ENDS + "It is in the audit.",
        parameters=("subject", "X-Request-Id"),
        successes=_ENDED,
        problems=_OPERATOR,
        tag="admin",
    ),
)
