-- What the sidecar asks PostgreSQL, as role nameplate_sidecar, through the views of control/db/migrations/0003_feed.sql.
-- A row is read as the bytes of a sidecar.directory.entry.Entry, which says what they are.
-- Live: active, or about to be: control waits for the sidecars to have read of the certificate before it says active.

-- name: entries
-- $1 hostnames outside the platform's domain, $2 slugs (both NULL: everything there is), $3 the platform's domain
SELECT set_byte('\x00', 0, CASE WHEN uploaded THEN 13 WHEN fingerprint IS NOT NULL THEN 5 WHEN status = 'active' THEN 1 ELSE 0 END
                          + CASE WHEN client_auth THEN 16 ELSE 0 END)
       || uuid_send(tenant_id) || uuid_send(domain_id)
       || CASE WHEN fingerprint IS NULL THEN ''
               ELSE decode(fingerprint, 'hex') || int4send(vault_version) || float8send(date_part('epoch', not_after)) END
       || textsend(hostname)
FROM domains_v1
WHERE ($1::text[] IS NULL AND $2::text[] IS NULL OR hostname = ANY ($1))
      AND hostname <> $3::text AND right(hostname, length($3) + 1) <> '.' || $3
UNION ALL
SELECT '\x03'::bytea || uuid_send(tenant_id) || '\x00000000000000000000000000000000' || textsend(slug || '.' || $3)
FROM tenants_v1 WHERE $1::text[] IS NULL AND $2::text[] IS NULL OR slug = ANY ($2)

-- name: count
SELECT (SELECT count(*) FROM domains_v1) + (SELECT count(*) FROM tenants_v1)

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
SELECT id, xid::text::bigint, kind, key, (extract(epoch FROM at) * 1000000)::bigint, ended::text
FROM changes_v1 ORDER BY id DESC LIMIT $1

-- name: change_traces
-- $1 ids of changes
SELECT id, trace FROM change_traces_v1 WHERE id = ANY ($1::bigint[])

-- name: missing_changes
-- $1, $2 ids and times of changes that were seen
SELECT seen.id FROM unnest($1::bigint[], $2::bigint[]) AS seen (id, at)
WHERE NOT EXISTS (SELECT FROM changes_v1 c
                  WHERE c.id = seen.id AND (extract(epoch FROM c.at) * 1000000)::bigint = seen.at)

-- name: read_changes
-- The head, beside each unseen change (one row of NULLs if there are none).
-- $1, $2 xmax and xip of the last read's snapshot; $3 the highest id of a change seen; $4 limit
SELECT s.snapshot::text, f.feed_id::text, f.pruned_xid::text::bigint,
       c.id, c.xid::text::bigint, c.kind, c.key, (extract(epoch FROM c.at) * 1000000)::bigint, c.ended::text
FROM pg_current_snapshot() AS s (snapshot) CROSS JOIN feed_v1 f
    LEFT JOIN (SELECT * FROM changes_v1
               WHERE xid >= $1::bigint::text::xid8 OR xid = ANY ($2::bigint[]::text[]::xid8[]) OR id > $3::bigint
               LIMIT $4) c ON true

-- name: all_changes
-- As read_changes, without a limit, and the newest last: those are kept in mind (sidecar.directory.position).
SELECT id, xid::text::bigint, kind, key, (extract(epoch FROM at) * 1000000)::bigint, ended::text
FROM changes_v1
WHERE xid >= $1::bigint::text::xid8 OR xid = ANY ($2::bigint[]::text[]::xid8[]) OR id > $3::bigint
ORDER BY id

-- name: ended_since
-- $1 seconds, $2 limit of registrations: one may end many times
SELECT ended::text, extract(epoch FROM max(at))::float8 FROM changes_v1
WHERE ended IS NOT NULL AND at > now() - $1::float8 * interval '1 second'
GROUP BY ended ORDER BY max(at) DESC LIMIT $2

-- name: transactions_from
SELECT xid::text::bigint FROM changes_v1 WHERE xid >= $1::bigint::text::xid8 GROUP BY xid ORDER BY xid DESC LIMIT $2

-- name: tell
SELECT pg_notify($1::text, $2::text)
