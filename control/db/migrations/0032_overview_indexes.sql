-- What the views of 0030 are read from: built while others write, each by itself (control/db/online.py). A database that
-- ran 0030 as it was at first has them already.

-- Counted without the table itself. Hostnames in the order of their bytes, whatever the database's collation.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_domains_states ON custom_domains (status, ssl_status, hostname COLLATE "C")
    WHERE deleted_at IS NULL;
-- Names that begin with something, and names that end with it.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_domains_hostname ON custom_domains (hostname COLLATE "C", id)
    WHERE deleted_at IS NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_domains_ending ON custom_domains (reverse(hostname) COLLATE "C", id)
    WHERE deleted_at IS NULL;
-- Few, in a fleet that is well. By the code of what was found.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_domains_failing ON custom_domains (
    coalesce((CASE WHEN ssl_status IN ('error', 'paused') THEN ssl_finding ELSE dns_finding END) ->> 'code', 'unknown'),
    hostname COLLATE "C") WHERE deleted_at IS NULL AND (status = 'failed' OR ssl_status IN ('error', 'paused'));
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_uploads_until ON uploads (not_after, domain_id) WHERE ended_at IS NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_rate_buckets_full ON rate_buckets (directory_url, bucket, tat);

CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_audit_hostname ON audit (hostname, id);
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_audit_action ON audit (action, id);
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_audit_tenant ON audit (tenant_id, id);
-- Of what control did by itself there is most, and nobody looks for it by the replica.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_audit_people ON audit (actor text_pattern_ops, id)
    WHERE actor NOT LIKE 'control:%';
