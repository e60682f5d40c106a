-- What the sidecar asks PostgreSQL, as role nameplate_sidecar, through the views of control/db/migrations/0003_feed.sql.
-- Live: active, or about to be: control waits for the sidecars to have read of the certificate before it says active.
-- A column list in the order of sidecar.directory.entry.Entry makes an Entry.

-- name: load_names
-- $1 hostnames outside the platform's domain, $2 slugs, $3 the platform's domain
SELECT hostname, tenant_id::text, domain_id::text, status = 'active' OR fingerprint IS NOT NULL, fingerprint, vault_version,
       extract(epoch FROM not_after)::float8, false
FROM domains_v1 WHERE hostname = ANY ($1::text[])
UNION ALL
SELECT slug || '.' || $3::text, tenant_id::text, '', true, NULL, NULL, NULL, true
FROM tenants_v1 WHERE slug = ANY ($2::text[])

-- name: all_domains
SELECT hostname, tenant_id::text, domain_id::text, status = 'active' OR fingerprint IS NOT NULL, fingerprint, vault_version,
       extract(epoch FROM not_after)::float8, false
FROM domains_v1

-- name: all_tenants
-- $1 the platform's domain
SELECT slug || '.' || $1::text, tenant_id::text, '', true, NULL::text, NULL::int, NULL::float8, true
FROM tenants_v1

-- name: load_challenges
SELECT token, key_authorization, extract(epoch FROM expires_at - now())::float8
FROM challenges_v1 WHERE token = ANY ($1::text[])

-- name: all_challenges
-- $1 limit; the newest live longest
SELECT token, key_authorization, extract(epoch FROM expires_at - now())::float8
FROM challenges_v1 ORDER BY expires_at DESC LIMIT $1

-- name: head
SELECT s.snapshot::text, f.feed_id::text, f.pruned_xid::text::bigint
FROM pg_current_snapshot() AS s (snapshot) CROSS JOIN feed_v1 f

-- name: newest_changes
-- $1 limit
SELECT id, xid::text::bigint, kind, key, (extract(epoch FROM at) * 1000000)::bigint
FROM changes_v1 ORDER BY id DESC LIMIT $1

-- name: missing_changes
-- $1, $2 ids and times of changes that were seen
SELECT seen.id FROM unnest($1::bigint[], $2::bigint[]) AS seen (id, at)
WHERE NOT EXISTS (SELECT FROM changes_v1 c
                  WHERE c.id = seen.id AND (extract(epoch FROM c.at) * 1000000)::bigint = seen.at)

-- name: read_changes
-- The head, beside each unseen change (one row of NULLs if there are none).
-- $1, $2 xmax and xip of the last read's snapshot; $3 the highest id of a change seen; $4 limit
SELECT s.snapshot::text, f.feed_id::text, f.pruned_xid::text::bigint,
       c.id, c.xid::text::bigint, c.kind, c.key, (extract(epoch FROM c.at) * 1000000)::bigint
FROM pg_current_snapshot() AS s (snapshot) CROSS JOIN feed_v1 f
    LEFT JOIN (SELECT * FROM changes_v1
               WHERE xid >= $1::bigint::text::xid8 OR xid = ANY ($2::bigint[]::text[]::xid8[]) OR id > $3::bigint
               LIMIT $4) c ON true

-- name: all_changes
-- As read_changes, without a limit.
SELECT id, xid::text::bigint, kind, key, (extract(epoch FROM at) * 1000000)::bigint
FROM changes_v1
WHERE xid >= $1::bigint::text::xid8 OR xid = ANY ($2::bigint[]::text[]::xid8[]) OR id > $3::bigint

-- name: transactions_from
SELECT xid::text::bigint FROM changes_v1 WHERE xid >= $1::bigint::text::xid8 GROUP BY xid ORDER BY xid DESC LIMIT $2

-- name: tell
SELECT pg_notify($1::text, $2::text)
