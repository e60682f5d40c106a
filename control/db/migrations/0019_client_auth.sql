-- What a domain asks of its clients' certificates, and whom these stand for.

-- CAs and CRLs are public, so they lie here rather than in Vault. core/client_auth.py says what they must be.
CREATE TABLE client_auth (
    domain_id   UUID PRIMARY KEY REFERENCES custom_domains (id) ON DELETE CASCADE,
    mode        TEXT NOT NULL CHECK (mode IN ('required', 'optional')),
    lookup      BOOLEAN NOT NULL,            -- a certificate must be that of a consumer
    identity_by TEXT[] NOT NULL              -- what it is looked up by, in this order
        CHECK (cardinality(identity_by) BETWEEN 1 AND 3 AND identity_by <@ ARRAY['san', 'subject', 'fingerprint']),
    groups_from TEXT CHECK (length(groups_from) BETWEEN 1 AND 300),  -- a field of the certificate; NULL: the consumer's
    ca_pem      TEXT NOT NULL CHECK (length(ca_pem) BETWEEN 1 AND 65536),
    crl_pem     TEXT CHECK (length(crl_pem) BETWEEN 1 AND 524288),
    ca_until    TIMESTAMPTZ NOT NULL,        -- when the first of the CAs runs out
    crl_until   TIMESTAMPTZ CHECK ((crl_until IS NULL) = (crl_pem IS NULL)),  -- when the first of the CRLs is stale
    ca_warned   INT NOT NULL DEFAULT 1000,   -- the last warning of this end was so many hours before it; 0: at the end
    crl_warned  INT NOT NULL DEFAULT 1000,
    created_at  TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at  TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX idx_client_auth_ca ON client_auth (ca_until) WHERE ca_warned > 0;
CREATE INDEX idx_client_auth_crl ON client_auth (crl_until) WHERE crl_warned > 0;

-- Several may have one name, so that a client can change its certificate.
CREATE TABLE consumers (
    id         UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id  UUID NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    name       TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 128),
    kind       TEXT NOT NULL CHECK (kind IN ('san', 'subject', 'fingerprint')),
    value      TEXT NOT NULL CHECK (length(value) BETWEEN 1 AND 1024),  -- normal form, of core/client_auth.py
    groups     TEXT[] NOT NULL DEFAULT '{}' CHECK (cardinality(groups) <= 32),
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    UNIQUE (tenant_id, kind, value)
);
CREATE INDEX idx_consumers_tenant ON consumers (tenant_id, created_at, id);

-- Changes of the last minutes: each is read by all sidecars, so a tenant's have a pace.
CREATE TABLE client_auth_changes (
    id        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id UUID NOT NULL,
    weight    INT NOT NULL DEFAULT 1 CHECK (weight > 0),
    at        TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX idx_client_auth_changes ON client_auth_changes (tenant_id, at);
CREATE INDEX idx_client_auth_changes_age ON client_auth_changes (at);

DO $$
DECLARE
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY ARRAY['client_auth', 'consumers', 'client_auth_changes'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', table_name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', table_name);
        EXECUTE format('CREATE POLICY workers ON %I TO nameplate_control USING (true) WITH CHECK (true)', table_name);
    END LOOP;
END
$$;
CREATE POLICY tenant_isolation_client_auth ON client_auth TO nameplate_api
    USING (EXISTS (SELECT FROM custom_domains d WHERE d.id = domain_id));
CREATE POLICY tenant_isolation_consumers ON consumers TO nameplate_api
    USING (tenant_id = nullif(current_setting('app.current_tenant', true), '')::uuid);
CREATE POLICY tenant_isolation_client_auth_changes ON client_auth_changes TO nameplate_api
    USING (tenant_id = nullif(current_setting('app.current_tenant', true), '')::uuid);
GRANT SELECT, INSERT, UPDATE, DELETE ON client_auth, consumers, client_auth_changes TO nameplate_control;
GRANT SELECT, INSERT (tenant_id, weight) ON client_auth_changes TO nameplate_api;
GRANT SELECT, DELETE ON client_auth, consumers TO nameplate_api;
GRANT INSERT (domain_id, mode, lookup, identity_by, groups_from, ca_pem, crl_pem, ca_until, crl_until, ca_warned,
    crl_warned) ON client_auth TO nameplate_api;
GRANT UPDATE (mode, lookup, identity_by, groups_from, ca_pem, crl_pem, ca_until, crl_until, ca_warned, crl_warned,
    updated_at) ON client_auth TO nameplate_api;
GRANT INSERT (id, tenant_id, name, kind, value, groups) ON consumers TO nameplate_api;
GRANT UPDATE (name, kind, value, groups, updated_at) ON consumers TO nameplate_api;

GRANT CREATE ON SCHEMA public TO nameplate_control;
SET LOCAL ROLE nameplate_control;

-- The domain's row says too that there is client authentication (domains_v1), so adding and removing it is a change of
-- the domain. Connections of the connection lane, which are asked about no more, are asked about again once it is added;
-- none is opened afterwards, so making it stricter ends nothing there.
CREATE FUNCTION record_client_auth_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO changes (kind, key, ended)
        SELECT 'domain', hostname, CASE TG_OP WHEN 'INSERT' THEN id END FROM custom_domains
        WHERE id = CASE TG_OP WHEN 'INSERT' THEN NEW.domain_id ELSE OLD.domain_id END
            AND deleted_at IS NULL AND status IN ('verified', 'active', 'moved');
    RETURN NULL;
END
$$;

-- What client_auth_v1 shows changes with the domain too. A deleted one's settings are of no use to anybody, and long.
CREATE FUNCTION record_client_auth_domain() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NEW.deleted_at IS NOT NULL THEN
        DELETE FROM client_auth WHERE domain_id = OLD.id;
    ELSIF EXISTS (SELECT FROM client_auth WHERE domain_id = OLD.id) THEN
        INSERT INTO changes (kind, key) VALUES ('edge', '');
    END IF;
    RETURN NULL;
END
$$;

CREATE VIEW client_auth_v1 AS
    SELECT a.domain_id, d.tenant_id, d.hostname, a.mode, a.lookup, a.identity_by, a.groups_from, a.ca_pem, a.crl_pem
    FROM client_auth a JOIN custom_domains d ON d.id = a.domain_id
    WHERE d.deleted_at IS NULL AND d.status IN ('verified', 'active', 'moved');

CREATE VIEW consumers_v1 AS SELECT id, tenant_id, name, kind, value, groups FROM consumers;

-- As in 0018, and `client_auth`: a sidecar that has not read client_auth_v1 since must not serve the domain without it.
CREATE OR REPLACE VIEW domains_v1 AS
    SELECT d.hostname, d.id AS domain_id, d.tenant_id, d.status, d.ssl_status,
           CASE WHEN u.id IS NULL THEN c.vault_version ELSE u.vault_version END AS vault_version,
           CASE WHEN u.id IS NULL THEN c.fingerprint ELSE u.fingerprint END AS fingerprint,
           CASE WHEN u.id IS NULL THEN c.serial ELSE u.serial END AS serial,
           CASE WHEN u.id IS NULL THEN c.not_after ELSE u.not_after END AS not_after,
           u.id IS NOT NULL AS uploaded,
           a.domain_id IS NOT NULL AS client_auth
    FROM custom_domains d
        LEFT JOIN certificates c ON c.id = d.certificate_id
        LEFT JOIN uploads u ON u.id = d.upload_id
        LEFT JOIN client_auth a ON a.domain_id = d.id
    WHERE d.deleted_at IS NULL AND d.status IN ('verified', 'active', 'moved');

GRANT SELECT ON client_auth_v1, consumers_v1 TO nameplate_sidecar;
GRANT EXECUTE ON FUNCTION record_edge_change() TO PUBLIC;

RESET ROLE;
REVOKE CREATE ON SCHEMA public FROM nameplate_control;

DO $$
DECLARE
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY ARRAY['client_auth', 'consumers'] LOOP
        EXECUTE format('CREATE TRIGGER edge_insert AFTER INSERT ON %I REFERENCING NEW TABLE AS changed
            FOR EACH STATEMENT EXECUTE FUNCTION record_edge_change()', table_name);
        EXECUTE format('CREATE TRIGGER edge_update AFTER UPDATE ON %I REFERENCING NEW TABLE AS changed
            FOR EACH STATEMENT EXECUTE FUNCTION record_edge_change()', table_name);
        EXECUTE format('CREATE TRIGGER edge_delete AFTER DELETE ON %I REFERENCING OLD TABLE AS changed
            FOR EACH STATEMENT EXECUTE FUNCTION record_edge_change()', table_name);
    END LOOP;
END
$$;
CREATE TRIGGER domain_change AFTER INSERT OR DELETE ON client_auth
    FOR EACH ROW EXECUTE FUNCTION record_client_auth_change();
CREATE TRIGGER client_auth_update AFTER UPDATE ON custom_domains FOR EACH ROW
    WHEN ((OLD.status, OLD.hostname, OLD.tenant_id, OLD.deleted_at) IS DISTINCT FROM (NEW.status, NEW.hostname, NEW.tenant_id, NEW.deleted_at))
    EXECUTE FUNCTION record_client_auth_domain();

SET LOCAL ROLE nameplate_control;
REVOKE EXECUTE ON FUNCTION record_edge_change(), record_client_auth_change(), record_client_auth_domain() FROM PUBLIC;
RESET ROLE;
