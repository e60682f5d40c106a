"""The statements of control.outbox.queue. Each reads the front of an index; none looks at rows that are settled."""

from __future__ import annotations

from control.db.trace import TRACED

UNDISPATCHED = """SELECT id, tenant_id, domain_id, event, payload FROM outbox WHERE dispatched_at IS NULL
    ORDER BY id LIMIT $1"""
MARK_DISPATCHED = "UPDATE outbox SET dispatched_at = $2 WHERE id = ANY($1::bigint[])"

# What has no domain shares one lane of the endpoint.
MATCH = """WITH wanted AS (SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::text[], $5::boolean[])
        AS w(outbox_id, tenant_id, domain_id, event, mailed)),
    found AS (
        SELECT w.*, e.id AS endpoint_id, e.kind, e.events FROM wanted w JOIN notification_endpoints e
            ON e.tenant_id = w.tenant_id WHERE e.disabled_at IS NULL AND e.withdrawn_at IS NULL
        UNION ALL
        SELECT w.*, e.id, e.kind, e.events FROM wanted w CROSS JOIN notification_endpoints e
            WHERE w.tenant_id IS NULL AND e.tenant_id IS NULL AND e.disabled_at IS NULL AND e.withdrawn_at IS NULL)
    SELECT outbox_id, tenant_id, endpoint_id, coalesce(domain_id, endpoint_id) AS lane FROM found
    WHERE CASE WHEN events IS NULL THEN kind = 'webhook' OR mailed ELSE event = ANY(events) END
    ORDER BY outbox_id"""
LOCK_ENDPOINTS = """UPDATE notification_endpoints SET due_at = greatest(least(due_at, $2), held_until)
    WHERE id = ANY($1::uuid[])"""
ADD_DELIVERIES = """INSERT INTO deliveries (endpoint_id, tenant_id, outbox_id, lane, created_at, retry_from)
    SELECT w.endpoint_id, w.tenant_id, w.outbox_id, w.lane, $5, $5
    FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::uuid[]) AS w(endpoint_id, tenant_id, outbox_id, lane)
    ON CONFLICT (outbox_id, endpoint_id) DO NOTHING"""
# The first that waits in each of the lanes becomes due, unless it is already.
PROMOTE = """UPDATE deliveries SET due_at = $3 WHERE id IN (
    SELECT first.id FROM unnest($1::uuid[], $2::uuid[]) AS w(endpoint_id, lane)
    CROSS JOIN LATERAL (SELECT d.id, d.due_at FROM deliveries d
        WHERE d.endpoint_id = w.endpoint_id AND d.lane = w.lane AND d.state = 'pending'
        ORDER BY d.outbox_id LIMIT 1) AS first
    WHERE first.due_at IS NULL)"""

CLAIM = """UPDATE notification_endpoints SET lease_token = gen_random_uuid(), lease_until = clock_timestamp() + $3
    WHERE id IN (SELECT id FROM notification_endpoints
        WHERE due_at <= $1 AND (failing_since IS NOT NULL) = $4
            AND (lease_until IS NULL OR lease_until < clock_timestamp()) AND withdrawn_at IS NULL
        ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED)
    RETURNING id, kind, address, tenant_id, secret_version, lease_token"""
DUE = f"""SELECT e.address, e.secret_version, d.id, d.lane, d.attempts, d.retry_from,
        o.event, o.tenant_id, o.domain_id, o.payload,
        o.created_at AS happened_at, CASE WHEN o.created_at > now() - interval '{TRACED}' THEN o.trace END AS trace
    FROM notification_endpoints e JOIN deliveries d ON d.endpoint_id = e.id JOIN outbox o ON o.id = d.outbox_id
    WHERE e.id = $1 AND e.lease_token = $5 AND e.withdrawn_at IS NULL
        AND (e.held_until IS NULL OR e.held_until <= $2 OR d.lane = d.id)
        AND d.due_at <= $2 AND d.id <> ALL($4::uuid[])
    ORDER BY d.due_at, d.outbox_id LIMIT $3"""  # noqa: S608 -- constants

RENEW = """UPDATE notification_endpoints SET lease_until = clock_timestamp() + $3 WHERE id = $1 AND lease_token = $2
    RETURNING true"""
HOLD_LEASE = "SELECT true FROM notification_endpoints WHERE id = $1 AND lease_token = $2 FOR UPDATE"
DELIVERED = """UPDATE deliveries SET state = 'delivered', settled_at = $2, due_at = NULL, attempts = attempts + 1
    WHERE id = $1 AND state = 'pending'"""
AGAIN = """UPDATE deliveries SET attempts = attempts + 1, due_at = $2, last_attempt = $3
    WHERE id = $1 AND state = 'pending'"""
GIVE_UP = """UPDATE deliveries SET state = 'dead', settled_at = $2, due_at = NULL, attempts = attempts + 1,
    last_attempt = $3 WHERE id = $1 AND state = 'pending'"""
GIVE_ALL_UP = """UPDATE deliveries SET state = 'dead', settled_at = $2, due_at = NULL, last_attempt = $3
    WHERE endpoint_id = $1 AND state = 'pending'"""
# Only a test takes an endpoint in use again: another message that was under way while it was disabled does not.
WORKS = """UPDATE notification_endpoints SET failing_since = NULL, held_until = NULL,
        disabled_at = CASE WHEN $2 THEN NULL ELSE disabled_at END,
        disabled_code = CASE WHEN $2 THEN NULL ELSE disabled_code END
    WHERE id = $1 AND (failing_since IS NOT NULL OR held_until IS NOT NULL OR disabled_at IS NOT NULL)"""
FAILS = """UPDATE notification_endpoints SET failing_since = coalesce(failing_since, $2) WHERE id = $1
    RETURNING failing_since"""
HOLD = "UPDATE notification_endpoints SET held_until = $2 WHERE id = $1"
DISABLE = """UPDATE notification_endpoints SET disabled_at = $2, disabled_code = $3 WHERE id = $1
    AND disabled_at IS NULL RETURNING true"""
TOLD_DEAD = """UPDATE notification_endpoints SET told_dead_at = $2 WHERE id = $1
    AND (told_dead_at IS NULL OR told_dead_at < $2::timestamptz - interval '1 day') RETURNING true"""
TELL = "INSERT INTO outbox (tenant_id, domain_id, event, payload) VALUES ($1, $2, $3, $4)"
RELEASE = """UPDATE notification_endpoints e SET lease_token = NULL, lease_until = NULL,
    due_at = greatest((SELECT min(due_at) FROM deliveries d WHERE d.endpoint_id = e.id AND d.due_at IS NOT NULL),
        CASE WHEN EXISTS (SELECT FROM deliveries d WHERE d.endpoint_id = e.id AND d.due_at IS NOT NULL)
            THEN held_until END)
    WHERE id = $1"""
NEXT_DUE = """SELECT due_at FROM notification_endpoints
    WHERE due_at IS NOT NULL AND (failing_since IS NOT NULL) = $1 AND withdrawn_at IS NULL
        AND (lease_until IS NULL OR lease_until < clock_timestamp())
    ORDER BY due_at LIMIT 1"""

WITHDRAWN = """SELECT id FROM notification_endpoints WHERE withdrawn_at < now() - interval '1 minute'
    AND (lease_until IS NULL OR lease_until < clock_timestamp()) ORDER BY withdrawn_at LIMIT $1"""
REMOVE = "DELETE FROM notification_endpoints WHERE id = $1 AND withdrawn_at IS NOT NULL"
FIGURES = """SELECT
    (SELECT count(*) FROM deliveries WHERE state = 'pending') AS waiting,
    (SELECT count(*) FROM deliveries WHERE state = 'dead') AS dead,
    (SELECT created_at FROM deliveries WHERE state = 'pending' ORDER BY created_at LIMIT 1) AS oldest"""
