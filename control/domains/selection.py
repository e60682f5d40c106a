"""What is called failing, late and ending: SQL conditions on `custom_domains d`, for the operator's lists and for
whatever counts domains. Only data.

Each fits a partial index (migrations 0007, 0010, 0018, 0032), so that none reads domains that are well.
"""

from __future__ import annotations

# As idx_domains_failing has it. A domain that its tenant has paused is not failing.
REASON = "CASE WHEN d.ssl_status IN ('error', 'paused') THEN d.ssl_finding ELSE d.dns_finding END"
CODE = f"coalesce(({REASON}) ->> 'code', 'unknown')"
WHO = f"coalesce(({REASON}) ->> 'who', 'nobody')"
BROKEN = "d.deleted_at IS NULL AND (d.status = 'failed' OR d.ssl_status IN ('error', 'paused'))"
FAILING = f"{BROKEN} AND d.paused_from IS NULL"

# Whose turn it is where a certificate is wanted and not there.
FINDING_WHO = """CASE WHEN d.ssl_status IN ('error', 'paused', 'validating', 'expiring')
    THEN coalesce(d.ssl_finding ->> 'who', 'nobody') ELSE 'nobody' END"""

PAUSED = "d.deleted_at IS NULL AND d.ssl_status = 'paused'"

# No healthy renewal needs a third of the time between when it was to begin and the certificate's end.
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
IS_LATE = f"coalesce(d.upload_id IS NULL AND ({' OR '.join(f'({part})' for part in LATE_PARTS)}), false)"
