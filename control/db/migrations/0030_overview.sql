-- What operators look at: how many domains are where, who is failing and why, any name, any line of the audit. A million
-- domains are counted at most once in a while (control/overview/figures.py); everything else is read from the front of
-- an index.

-- Counted without the table itself. Hostnames in the order of their bytes, whatever the database's collation.
CREATE INDEX idx_domains_states ON custom_domains (status, ssl_status, hostname COLLATE "C") WHERE deleted_at IS NULL;
-- Names that begin with something, and names that end with it.
CREATE INDEX idx_domains_hostname ON custom_domains (hostname COLLATE "C", id) WHERE deleted_at IS NULL;
CREATE INDEX idx_domains_ending ON custom_domains (reverse(hostname) COLLATE "C", id) WHERE deleted_at IS NULL;
-- Few, in a fleet that is well. By the code of what was found.
CREATE INDEX idx_domains_failing ON custom_domains (
    coalesce((CASE WHEN ssl_status IN ('error', 'paused') THEN ssl_finding ELSE dns_finding END) ->> 'code', 'unknown'),
    hostname COLLATE "C") WHERE deleted_at IS NULL AND (status = 'failed' OR ssl_status IN ('error', 'paused'));
CREATE INDEX idx_uploads_until ON uploads (not_after, domain_id) WHERE ended_at IS NULL;
CREATE INDEX idx_rate_buckets_full ON rate_buckets (directory_url, bucket, tat);

CREATE INDEX idx_audit_hostname ON audit (hostname, id);
CREATE INDEX idx_audit_action ON audit (action, id);
CREATE INDEX idx_audit_tenant ON audit (tenant_id, id);
-- Of what control did by itself there is most, and nobody looks for it by the replica.
CREATE INDEX idx_audit_people ON audit (actor text_pattern_ops, id) WHERE actor NOT LIKE 'control:%';

-- The last count. One row; `took`: milliseconds.
CREATE TABLE overview_figures (
    only_row BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (only_row),
    at       TIMESTAMPTZ NOT NULL,
    took     INT NOT NULL,
    figures  JSONB NOT NULL
);

-- Each replica of control, and what it knows by itself: how the CAs have answered it. `view`: control/overview/replicas.py.
CREATE TABLE control_replicas (
    name       TEXT PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 300),
    started_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    heard_at   TIMESTAMPTZ NOT NULL DEFAULT now(),
    ended_at   TIMESTAMPTZ,                  -- it has said so; NULL: it has not
    view       JSONB NOT NULL
);
CREATE INDEX idx_control_replicas_heard ON control_replicas (heard_at);

DO $$
DECLARE
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY ARRAY['overview_figures', 'control_replicas'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', table_name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', table_name);
        EXECUTE format('CREATE POLICY workers ON %I TO nameplate_control USING (true) WITH CHECK (true)', table_name);
    END LOOP;
END
$$;
-- Neither tenants nor sidecars have any business with them.
GRANT SELECT, INSERT, UPDATE, DELETE ON overview_figures, control_replicas TO nameplate_control;
