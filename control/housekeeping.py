"""Rows that have had their time: old changes, challenges, idempotency keys, what was spent at a CA, notifications."""

from __future__ import annotations

import functools
from typing import Any

import asyncpg
import structlog

from control import rounds

EVERY = 300.0  # seconds, with jitter; replicas take turns by the advisory lock
LOCK = 0x6E616D65686F7573
# A sidecar that was away longer than this reads everything anew.
KEEP_CHANGES = "24 hours"

log = structlog.get_logger(__name__)

# The pruned position moves in the same transaction as the rows go, so that no reader can miss what it has not read.
PRUNE_CHANGES = f"""
WITH gone AS (DELETE FROM changes WHERE at < now() - interval '{KEEP_CHANGES}'
                  AND xid < pg_snapshot_xmin(pg_current_snapshot()) RETURNING xid)
UPDATE feed SET pruned_xid = greatest(pruned_xid, (SELECT max(xid) FROM gone)) WHERE EXISTS (SELECT FROM gone)
"""  # noqa: S608 -- constants

# After pg_restore the feed has transactions of another server, which this one comes to in months: nobody would read
# past them. They are written down anew as ours; sidecars see another feed, and read everything.
RENEW_FEED = """
WITH theirs AS (DELETE FROM changes WHERE xid >= pg_snapshot_xmax(pg_current_snapshot()) RETURNING *),
    ours AS (INSERT INTO changes (kind, key, at, ended) SELECT kind, key, at, ended FROM theirs ORDER BY id)
UPDATE feed SET id = gen_random_uuid(), pruned_xid = '0'
WHERE pruned_xid >= pg_snapshot_xmax(pg_current_snapshot()) OR EXISTS (SELECT FROM theirs)
"""

# A net under the jobs: a domain that waits for work and has none would wait for ever. One that its tenant has paused
# waits for none, unless its certificate is there.
FIND_FORGOTTEN = """
INSERT INTO jobs (domain_id, kind)
SELECT id, CASE status WHEN 'verified' THEN 'obtain' ELSE 'verify' END FROM custom_domains
WHERE deleted_at IS NULL AND status IN ('pending', 'dns_check', 'verified')
    AND coalesce(paused_from, 'issued') IN ('issued', 'renewed')
ON CONFLICT (domain_id) DO NOTHING
"""

# The same of a renewal: a name that moved away in the middle of one, and came back, is one that has no job any more.
FIND_UNFINISHED = """
INSERT INTO jobs (domain_id, kind)
SELECT id, 'obtain' FROM custom_domains d
WHERE deleted_at IS NULL AND status = 'active' AND ssl_status IN ('validating', 'expiring', 'error')
    AND NOT EXISTS (SELECT FROM jobs WHERE domain_id = d.id)
ON CONFLICT (domain_id) DO NOTHING
"""

# And of a domain that went live with its tenant's own certificate before there was a managed one.
FIND_UNORDERED = """
INSERT INTO jobs (domain_id, kind)
SELECT id, 'obtain' FROM custom_domains d
WHERE deleted_at IS NULL AND status = 'active' AND ssl_status = 'none'
    AND NOT EXISTS (SELECT FROM jobs WHERE domain_id = d.id) AND EXISTS (SELECT FROM uploads WHERE domain_id = d.id)
ON CONFLICT (domain_id) DO NOTHING
"""

# Full for a day: as good as never used. Orders lock several buckets, so whatever one of them holds is passed over.
FORGET_BUCKETS = """
DELETE FROM rate_buckets b USING (
    SELECT directory_url, bucket, key FROM rate_buckets WHERE tat < now() - interval '1 day' FOR UPDATE SKIP LOCKED) old
WHERE (b.directory_url, b.bucket, b.key) = (old.directory_url, old.bucket, old.key)
"""

# A clock far ahead was set by mistake; what had to come back starts anew.
MEND_BUCKETS = """
UPDATE rate_buckets b SET tat = now() + (b.tat - b.clock), clock = now() FROM (
    SELECT directory_url, bucket, key FROM rate_buckets WHERE clock > now() + interval '1 hour'
    FOR UPDATE SKIP LOCKED) wrong
WHERE (b.directory_url, b.bucket, b.key) = (wrong.directory_url, wrong.bucket, wrong.key)
"""

CHORES = (
    FIND_FORGOTTEN,
    FIND_UNFINISHED,
    FIND_UNORDERED,
    RENEW_FEED,
    PRUNE_CHANGES,
    "DELETE FROM challenges WHERE expires_at < now() - interval '1 hour'",
    "DELETE FROM idempotency_keys WHERE created_at < now() - interval '24 hours'",
    # An ended session keeps its ticket used for longer than the ticket is good.
    """DELETE FROM ui_sessions WHERE expires_at < now() - interval '1 hour' OR used_at < now() - interval '3 hours'
        OR ended_at < now() - interval '1 hour'""",
    "DELETE FROM ui_endings WHERE at < now() - interval '1 hour'",
    "DELETE FROM client_auth_changes WHERE at < now() - interval '1 hour'",
    FORGET_BUCKETS,
    MEND_BUCKETS,
    # A lease is of seconds; one so far ahead was given before PostgreSQL's clock was set back.
    "UPDATE jobs SET lease_until = now() WHERE lease_until > now() + interval '10 minutes'",
    # What waits is never removed, however old; what was given up can be sent once more for as long as this.
    "DELETE FROM deliveries WHERE settled_at < now() - interval '30 days'",
    """DELETE FROM outbox o WHERE created_at < now() - interval '30 days' AND dispatched_at IS NOT NULL
        AND NOT EXISTS (SELECT FROM deliveries d WHERE d.outbox_id = o.id)""",
)


async def tidy(pool: asyncpg.Pool[Any]) -> bool:
    """Do all chores once. False: another replica is at it.

    Each is a transaction of its own: the change feed shows nothing that was begun after the oldest one that is open.
    """
    for chore in CHORES:
        async with pool.acquire() as connection, connection.transaction():
            if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", LOCK):
                return False
            await connection.execute(chore)
    return True


async def keep_tidy(pool: asyncpg.Pool[Any]) -> None:
    """For as long as the process lives."""
    await rounds.keep(functools.partial(tidy, pool), EVERY, "housekeeping_failed")
