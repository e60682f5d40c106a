-- The audit log as a hash chain a tenant (docs/audit.md). A row is sealed when its transaction commits, after all other
-- locks are taken: the seals of one tenant wait for each other, those of two do not. control/audit/canonical.py computes
-- the same digests for `nameplate audit verify`, on its own.

ALTER TABLE audit ADD COLUMN xact XID8 NOT NULL DEFAULT pg_current_xact_id();  -- which rows are sealed together

-- hash = digest of (previous, the audit row); previous = the hash of seq - 1.
CREATE TABLE audit_seals (
    tenant_id UUID NOT NULL,
    seq       BIGINT NOT NULL,               -- 1, 2, 3 … without gaps
    audit_id  BIGINT NOT NULL UNIQUE,
    previous  BYTEA NOT NULL,
    hash      BYTEA NOT NULL,
    PRIMARY KEY (tenant_id, seq)
);

-- The end of each chain: the lock that puts its rows in order, and how far checkpoints cover it.
CREATE TABLE audit_heads (
    tenant_id UUID PRIMARY KEY,
    seq       BIGINT NOT NULL,
    hash      BYTEA NOT NULL,
    anchored  BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX idx_audit_heads_news ON audit_heads (tenant_id) WHERE anchored < seq;

-- The heads that have moved since the checkpoint before; a chain as well, whose end is kept in Vault.
CREATE TABLE audit_checkpoints (
    number   BIGINT PRIMARY KEY,             -- 1, 2, 3 … without gaps
    at       TIMESTAMPTZ NOT NULL DEFAULT now(),
    heads    JSONB NOT NULL,                 -- {tenant: [seq, hash]}
    previous BYTEA NOT NULL,
    hash     BYTEA NOT NULL
);

DO $$
DECLARE
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY ARRAY['audit_seals', 'audit_heads', 'audit_checkpoints'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', table_name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', table_name);
        EXECUTE format('CREATE POLICY workers ON %I TO nameplate_control USING (true) WITH CHECK (true)', table_name);
    END LOOP;
END
$$;
GRANT SELECT, INSERT ON audit_seals, audit_checkpoints TO nameplate_control;
GRANT SELECT, INSERT, UPDATE ON audit_heads TO nameplate_control;

GRANT CREATE ON SCHEMA public TO nameplate_control;
SET LOCAL ROLE nameplate_control;

-- Each part with its length in bytes before it, so that no two lists of parts have one digest.
CREATE FUNCTION audit_digest_v1(parts TEXT[]) RETURNS BYTEA LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
    SELECT sha256(string_agg(convert_to(octet_length(convert_to(part, 'UTF8')) || ':' || part || ',', 'UTF8'), '' ORDER BY n))
    FROM unnest(parts) WITH ORDINALITY AS listed(part, n)
$$;

-- Seal what transaction `wanted_xact` has written from row `first_id` on. Heads are locked in the order of their tenants.
-- No scan, also with a plan that was made while the log was short: each query has an index to go by, and is too simple
-- for another way.
CREATE FUNCTION seal_audit_rows(first_id BIGINT, wanted_xact XID8) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET enable_seqscan = off AS $$
DECLARE
    head   audit_heads;
    entry  audit;
    sealed BYTEA;
BEGIN
    FOR entry IN SELECT * FROM audit WHERE id >= first_id AND xact = wanted_xact ORDER BY tenant_id, id LOOP
        CONTINUE WHEN EXISTS (SELECT FROM audit_seals WHERE audit_id = entry.id);
        IF head.tenant_id IS DISTINCT FROM entry.tenant_id THEN
            UPDATE audit_heads SET seq = head.seq, hash = head.hash WHERE tenant_id = head.tenant_id;
            SELECT * INTO head FROM audit_heads WHERE tenant_id = entry.tenant_id FOR UPDATE;
            IF NOT FOUND THEN
                INSERT INTO audit_heads (tenant_id, seq, hash)
                    VALUES (entry.tenant_id, 0, audit_digest_v1(ARRAY['nameplate audit 1', entry.tenant_id::text]))
                    ON CONFLICT DO NOTHING;
                SELECT * INTO head FROM audit_heads WHERE tenant_id = entry.tenant_id FOR UPDATE;
            END IF;
        END IF;
        sealed := audit_digest_v1(ARRAY[encode(head.hash, 'hex'), entry.id::text,
            (extract(epoch FROM entry.at) * 1000000)::bigint::text, entry.tenant_id::text, entry.domain_id::text,
            entry.hostname, entry.actor, entry.action, entry.detail::text]);
        INSERT INTO audit_seals VALUES (head.tenant_id, head.seq + 1, entry.id, head.hash, sealed);
        head.seq := head.seq + 1;
        head.hash := sealed;
    END LOOP;
    UPDATE audit_heads SET seq = head.seq, hash = head.hash WHERE tenant_id = head.tenant_id;
END
$$;

CREATE FUNCTION seal_audit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM audit_seals WHERE audit_id = NEW.id) THEN
        PERFORM seal_audit_rows(NEW.id, NEW.xact);
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE FUNCTION refuse_head_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.tenant_id <> OLD.tenant_id OR NEW.seq < OLD.seq OR NEW.anchored < OLD.anchored OR NEW.anchored > NEW.seq
       OR NEW.seq = OLD.seq AND NEW.hash <> OLD.hash THEN
        RAISE EXCEPTION 'audit_heads only move on' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;

REVOKE EXECUTE ON FUNCTION seal_audit_rows(BIGINT, XID8) FROM PUBLIC;
SELECT seal_audit_rows(0, pg_current_xact_id());  -- what was written before there was a chain

RESET ROLE;
REVOKE CREATE ON SCHEMA public FROM nameplate_control;

CREATE CONSTRAINT TRIGGER seal AFTER INSERT ON audit DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION seal_audit();

-- For every role, also while session_replication_role is `replica`.
DO $$
DECLARE
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY ARRAY['audit', 'audit_seals', 'audit_checkpoints'] LOOP
        EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change()', table_name);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER append_only', table_name);
    END LOOP;
END
$$;
CREATE TRIGGER append_only BEFORE DELETE OR TRUNCATE ON audit_heads
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER moves_on BEFORE UPDATE ON audit_heads FOR EACH ROW EXECUTE FUNCTION refuse_head_change();
ALTER TABLE audit_heads ENABLE ALWAYS TRIGGER append_only;
ALTER TABLE audit_heads ENABLE ALWAYS TRIGGER moves_on;
