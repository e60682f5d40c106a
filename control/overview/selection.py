"""What is called failing, late and ending: SQL conditions that the lists and the counts share. Only data.

Each fits a partial index (migrations 0007, 0010, 0018, 0030), so that none reads domains that are well.
"""

from __future__ import annotations

# As idx_domains_failing has it. A domain that its tenant has paused is not failing.
REASON = "CASE WHEN d.ssl_status IN ('error', 'paused') THEN d.ssl_finding ELSE d.dns_finding END"
CODE = f"coalesce(({REASON}) ->> 'code', 'unknown')"
WHO = f"coalesce(({REASON}) ->> 'who', 'nobody')"
BROKEN = "d.deleted_at IS NULL AND (d.status = 'failed' OR d.ssl_status IN ('error', 'paused'))"
FAILING = f"{BROKEN} AND d.paused_from IS NULL"

PAUSED = "d.deleted_at IS NULL AND d.ssl_status = 'paused'"

# No healthy renewal needs a third of the time between when it was to begin and the certificate's end (as in metrics).
LATE = "d.renew_at + (d.cert_expiry - d.renew_at) / 3 < now()"

# The three parts of the active domains, each with an index of its own: served and well, being renewed, paused.
_ACTIVE = "d.deleted_at IS NULL AND d.status = 'active'"
WELL = f"{_ACTIVE} AND d.ssl_status IN ('issued', 'renewed')"
UNFINISHED = f"{_ACTIVE} AND d.ssl_status IN ('validating', 'expiring', 'error')"
HELD = f"{_ACTIVE} AND d.ssl_status = 'paused'"
PARTS = (WELL, UNFINISHED, HELD)

LATE_PARTS = (
    f"{WELL} AND d.renew_at < now() AND {LATE}",
    f"{UNFINISHED} AND {LATE}",
    f"{HELD} AND {LATE} AND d.paused_from IS NULL",
)
