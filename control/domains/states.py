"""The state machines of a custom domain, as one table each. What has no row is refused.

This file knows no database and no clock. A row is (state, event) → (next state, audited action); a notification with
the event's name goes to the outbox with it. `docs` and the property tests read the same tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from core.errors import NameplateError

Machine = Literal["domain", "ssl", "upload"]


@dataclass(frozen=True, slots=True)
class Step:
    to: str
    action: str  # what the audit log calls it


class IllegalTransition(NameplateError):
    """The event has no row for the present state."""

    def __init__(self, machine: Machine, state: str, event: str) -> None:
        super().__init__("illegal_transition", f"A {machine} status {state!r} does not take the event {event!r}.")


DOMAIN: Mapping[tuple[str, str], Step] = {
    ("pending", "record_found"): Step("dns_check", "dns_check"),
    ("dns_check", "ownership_proven"): Step("verified", "verify"),
    ("verified", "certificate_loaded"): Step("active", "activate"),
    ("pending", "window_expired"): Step("failed", "verify_failed"),
    ("dns_check", "window_expired"): Step("failed", "verify_failed"),
    ("verified", "retries_exhausted"): Step("failed", "ssl_failed"),
    ("failed", "retry"): Step("pending", "retry"),
    ("active", "moved_away"): Step("moved", "move_away"),
    ("moved", "came_back"): Step("active", "come_back"),
}

SSL: Mapping[tuple[str, str], Step] = {
    ("none", "order_started"): Step("validating", "ssl_order"),
    ("error", "order_started"): Step("validating", "ssl_order"),
    ("validating", "certificate_stored"): Step("issued", "ssl_issue"),
    ("validating", "challenge_failed"): Step("error", "ssl_error"),
    ("issued", "expiry_near"): Step("expiring", "ssl_expiring"),
    ("renewed", "expiry_near"): Step("expiring", "ssl_expiring"),
    ("expiring", "certificate_stored"): Step("renewed", "ssl_renew"),
    ("expiring", "challenge_failed"): Step("error", "ssl_error"),
    ("none", "preflight_failed"): Step("error", "ssl_preflight"),
    ("error", "preflight_failed"): Step("error", "ssl_preflight"),
    ("expiring", "preflight_failed"): Step("error", "ssl_preflight"),
    ("validating", "preflight_failed"): Step("error", "ssl_preflight"),
    ("error", "renewal_started"): Step("expiring", "ssl_order"),
    ("error", "failures_exceeded"): Step("paused", "ssl_pause"),
    ("paused", "resumed"): Step("error", "ssl_resume"),
    # By the tenant, who alone ends it: then it goes on where it was (custom_domains.paused_from).
    ("none", "paused_by_tenant"): Step("paused", "pause"),
    ("validating", "paused_by_tenant"): Step("paused", "pause"),
    ("issued", "paused_by_tenant"): Step("paused", "pause"),
    ("expiring", "paused_by_tenant"): Step("paused", "pause"),
    ("renewed", "paused_by_tenant"): Step("paused", "pause"),
    ("error", "paused_by_tenant"): Step("paused", "pause"),
    ("paused", "paused_by_tenant"): Step("paused", "pause"),
    ("paused", "back_to_none"): Step("none", "resume"),
    ("paused", "back_to_validating"): Step("validating", "resume"),
    ("paused", "back_to_issued"): Step("issued", "resume"),
    ("paused", "back_to_expiring"): Step("expiring", "resume"),
    ("paused", "back_to_renewed"): Step("renewed", "resume"),
    ("paused", "back_to_error"): Step("error", "resume"),
    ("paused", "certificate_ending"): Step("paused", "pause_expiring"),
}

# Beside both of the others, whatever they do: `standing` is what custom_domains.upload_id says (control/uploads).
UPLOAD: Mapping[tuple[str, str], Step] = {
    ("none", "uploaded"): Step("standing", "upload"),
    ("standing", "uploaded"): Step("standing", "upload_replace"),
    ("standing", "end_near"): Step("standing", "upload_expiring"),
    ("standing", "ran_out"): Step("none", "upload_expire"),
    ("standing", "withdrawn"): Step("none", "upload_withdraw"),
}

TABLES: Mapping[Machine, Mapping[tuple[str, str], Step]] = {"domain": DOMAIN, "ssl": SSL, "upload": UPLOAD}

# Proven: one live row a hostname. A name that has moved away is served while its certificate lasts, and not renewed.
PROVEN = frozenset({"verified", "active", "moved"})
# There is a certificate, and it is not to be renewed yet.
STORED = frozenset({"issued", "renewed"})


def machine_of(event: str) -> Machine:
    """The machine that knows the event. Raises KeyError for an event that neither knows."""
    for machine, table in TABLES.items():
        if any(known == event for _, known in table):
            return machine
    raise KeyError(event)


def step(machine: Machine, state: str, event: str) -> Step:
    """Raises IllegalTransition."""
    try:
        return TABLES[machine][state, event]
    except KeyError:
        raise IllegalTransition(machine, state, event) from None
