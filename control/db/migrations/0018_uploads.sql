-- A tenant's own certificate for a domain. The certificate that is in use is the uploaded one as long as
-- custom_domains.upload_id names it, else the managed one. Nothing switches by a clock alone: workers set upload_id to
-- NULL when the uploaded one runs out, and that is a change that sidecars read.

-- Metadata only: the chain and the key are in Vault. Rows stay for a while when another replaces them.
CREATE TABLE uploads (
    id            UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    domain_id     UUID NOT NULL REFERENCES custom_domains (id),
    serial        TEXT NOT NULL,             -- lower-case hexadecimal
    issuer        TEXT NOT NULL,
    fingerprint   TEXT NOT NULL CHECK (fingerprint ~ '^[0-9a-f]{64}$'),  -- SHA-256 of the leaf
    not_before    TIMESTAMPTZ NOT NULL,
    not_after     TIMESTAMPTZ NOT NULL,      -- of the first in the chain to expire
    names         TEXT[] NOT NULL,           -- DNS names of the leaf; none once it has ended: there may be thousands
    vault_version INT NOT NULL CHECK (vault_version > 0),
    created_at    TIMESTAMPTZ NOT NULL DEFAULT now(),
    due_at        TIMESTAMPTZ,               -- when its tenant is warned of its end next, or it ends; NULL: it has ended
    ended_at      TIMESTAMPTZ,               -- replaced, withdrawn, run out, or its domain is gone; NULL: it stands
    ended_by      TEXT CHECK (ended_by IN ('replaced', 'withdrawn', 'expired', 'deleted')),
    CHECK ((ended_at IS NULL) = (ended_by IS NULL)),
    UNIQUE (id, domain_id)
);
CREATE UNIQUE INDEX idx_uploads_standing ON uploads (domain_id) WHERE ended_at IS NULL;
CREATE INDEX idx_uploads_due ON uploads (due_at) WHERE ended_at IS NULL;
CREATE INDEX idx_uploads_domain ON uploads (domain_id);
CREATE INDEX idx_uploads_ended ON uploads (ended_at) WHERE ended_at IS NOT NULL;

-- Domains under whose upload path Vault may hold something: written before Vault is, removed after it is cleared there.
CREATE TABLE upload_keys (
    domain_id    UUID PRIMARY KEY REFERENCES custom_domains (id),
    attempt      UUID NOT NULL,              -- whoever records an upload must be the last who began one
    attempted_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    clear_at     TIMESTAMPTZ                 -- when it is to be destroyed, unless an upload stands by then; NULL: one does
);
CREATE INDEX idx_upload_keys_clear ON upload_keys (clear_at) WHERE clear_at IS NOT NULL;

-- What was tried in the last hour: it costs the platform something even when it is refused.
CREATE TABLE upload_attempts (
    id        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id UUID NOT NULL,
    at        TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX idx_upload_attempts ON upload_attempts (tenant_id, at);
CREATE INDEX idx_upload_attempts_age ON upload_attempts (at);

ALTER TABLE custom_domains
    ADD COLUMN upload_id UUID,               -- the uploaded certificate that is in use; NULL: the managed one is
    ADD CONSTRAINT custom_domains_upload_fkey FOREIGN KEY (upload_id, id) REFERENCES uploads (id, domain_id);
-- Proven, with a certificate that needs no CA: they wait for the sidecars only.
CREATE INDEX idx_domains_uploaded ON custom_domains (id)
    WHERE deleted_at IS NULL AND status = 'verified' AND upload_id IS NOT NULL;
-- Served already, and without a managed certificate so far: it must have a job.
CREATE INDEX idx_domains_unordered ON custom_domains (id)
    WHERE deleted_at IS NULL AND status = 'active' AND ssl_status = 'none';

GRANT SELECT, INSERT, UPDATE, DELETE ON uploads, upload_keys, upload_attempts TO nameplate_control;
GRANT SELECT ON uploads, upload_keys, upload_attempts TO nameplate_api;
GRANT INSERT (id, domain_id, serial, issuer, fingerprint, not_before, not_after, names, vault_version, due_at)
    ON uploads TO nameplate_api;
GRANT UPDATE (names, due_at, ended_at, ended_by) ON uploads TO nameplate_api;
GRANT INSERT (domain_id, attempt, clear_at), UPDATE (attempt, attempted_at, clear_at) ON upload_keys TO nameplate_api;
GRANT INSERT (tenant_id) ON upload_attempts TO nameplate_api;
GRANT UPDATE (upload_id) ON custom_domains TO nameplate_api;

DO $$
DECLARE
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY ARRAY['uploads', 'upload_keys', 'upload_attempts'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', table_name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', table_name);
        EXECUTE format('CREATE POLICY workers ON %I TO nameplate_control USING (true) WITH CHECK (true)', table_name);
    END LOOP;
END
$$;
CREATE POLICY tenant_isolation_uploads ON uploads TO nameplate_api
    USING (EXISTS (SELECT FROM custom_domains d WHERE d.id = domain_id));
CREATE POLICY tenant_isolation_upload_keys ON upload_keys TO nameplate_api
    USING (EXISTS (SELECT FROM custom_domains d WHERE d.id = domain_id));
CREATE POLICY tenant_isolation_upload_attempts ON upload_attempts TO nameplate_api
    USING (tenant_id = nullif(current_setting('app.current_tenant', true), '')::uuid);

GRANT CREATE ON SCHEMA public TO nameplate_control;
SET LOCAL ROLE nameplate_control;

-- Live is what has a certificate, whoever's it is; another one in use is a change.
CREATE OR REPLACE FUNCTION record_domain_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    was_visible BOOLEAN := TG_OP <> 'INSERT' AND OLD.deleted_at IS NULL AND OLD.status IN ('verified', 'active', 'moved');
    is_visible  BOOLEAN := TG_OP <> 'DELETE' AND NEW.deleted_at IS NULL AND NEW.status IN ('verified', 'active', 'moved');
    was_live    BOOLEAN := was_visible
        AND (OLD.status <> 'verified' OR OLD.certificate_id IS NOT NULL OR OLD.upload_id IS NOT NULL);
    is_live     BOOLEAN := is_visible
        AND (NEW.status <> 'verified' OR NEW.certificate_id IS NOT NULL OR NEW.upload_id IS NOT NULL);
    is_the_same BOOLEAN := was_live AND is_live AND (OLD.hostname, OLD.tenant_id) = (NEW.hostname, NEW.tenant_id);
BEGIN
    IF was_visible AND is_visible
       AND (OLD.hostname, OLD.tenant_id, OLD.status) = (NEW.hostname, NEW.tenant_id, NEW.status)
       AND OLD.upload_id IS NOT DISTINCT FROM NEW.upload_id
       AND (OLD.certificate_id IS NOT DISTINCT FROM NEW.certificate_id OR NEW.upload_id IS NOT NULL) THEN
        RETURN NULL;  -- a renewal underneath an uploaded certificate changes nothing that is served
    END IF;
    IF was_visible THEN
        INSERT INTO changes (kind, key, ended)
            VALUES ('domain', OLD.hostname, CASE WHEN was_live AND NOT is_the_same THEN OLD.id END);
    END IF;
    IF is_visible AND NOT (was_visible AND OLD.hostname = NEW.hostname) THEN
        INSERT INTO changes (kind, key) VALUES ('domain', NEW.hostname);
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE VIEW domains_v1 AS
    SELECT d.hostname, d.id AS domain_id, d.tenant_id, d.status, d.ssl_status,
           CASE WHEN u.id IS NULL THEN c.vault_version ELSE u.vault_version END AS vault_version,
           CASE WHEN u.id IS NULL THEN c.fingerprint ELSE u.fingerprint END AS fingerprint,
           CASE WHEN u.id IS NULL THEN c.serial ELSE u.serial END AS serial,
           CASE WHEN u.id IS NULL THEN c.not_after ELSE u.not_after END AS not_after,
           u.id IS NOT NULL AS uploaded
    FROM custom_domains d
        LEFT JOIN certificates c ON c.id = d.certificate_id
        LEFT JOIN uploads u ON u.id = d.upload_id
    WHERE d.deleted_at IS NULL AND d.status IN ('verified', 'active', 'moved');

RESET ROLE;
REVOKE CREATE ON SCHEMA public FROM nameplate_control;
