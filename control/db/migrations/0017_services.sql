-- Where requests go: upstream services, which the operator describes, and who is sent to which. With the certificate
-- authorities that upstreams are trusted by, and the client certificates that are presented to them.

-- `edge`: one of the tables that the sidecar holds as a whole has changed. Its key is empty.
ALTER TABLE changes DROP CONSTRAINT changes_kind_check,
    ADD CONSTRAINT changes_kind_check CHECK (kind IN ('domain', 'tenant', 'challenge', 'edge'));

CREATE TABLE trust (
    name       TEXT PRIMARY KEY CHECK (name ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$' AND name <> 'system'),
    pem        TEXT NOT NULL,                -- certificates of authorities, which are public
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- Metadata only: the chain and the key are in Vault. A row is made before its secret, withdrawn from birth, and is
-- withdrawn before its secret is destroyed: so a crash leaves neither a secret without a row nor one that is announced.
CREATE TABLE identities (
    name          TEXT PRIMARY KEY CHECK (name ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    serial        TEXT,                      -- lower-case hexadecimal, as is the fingerprint
    issuer        TEXT,
    fingerprint   TEXT,                      -- SHA-256 of the leaf
    names         TEXT[],
    not_before    TIMESTAMPTZ,
    not_after     TIMESTAMPTZ,
    vault_version INT,                       -- NULL: never put in force
    created_at    TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at    TIMESTAMPTZ NOT NULL DEFAULT now(),
    withdrawn_at  TIMESTAMPTZ,               -- neither shown nor used: to be removed, with its secret
    CHECK (withdrawn_at IS NOT NULL OR (serial, issuer, fingerprint, names, not_before, not_after, vault_version) IS NOT NULL)
);
CREATE INDEX idx_identities_withdrawn ON identities (withdrawn_at) WHERE withdrawn_at IS NOT NULL;

-- `spec`: core/service.py writes and reads it. What it refers to by name is there as long as it does.
CREATE TABLE services (
    name       TEXT PRIMARY KEY CHECK (name ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    spec       JSONB NOT NULL,
    trust      TEXT GENERATED ALWAYS AS (nullif(spec #>> '{tls,trust}', 'system')) STORED REFERENCES trust (name),
    identity   TEXT GENERATED ALWAYS AS (spec #>> '{tls,identity}') STORED REFERENCES identities (name),
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX idx_services_trust ON services (trust) WHERE trust IS NOT NULL;
CREATE INDEX idx_services_identity ON services (identity) WHERE identity IS NOT NULL;

-- A domain's choice beats its tenant's, which has no domain. Whoever has none is sent to the service `default`.
CREATE TABLE service_choices (
    tenant_id  UUID NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    domain_id  UUID REFERENCES custom_domains (id) ON DELETE CASCADE,
    service    TEXT NOT NULL REFERENCES services (name),
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    UNIQUE NULLS NOT DISTINCT (tenant_id, domain_id)
);
CREATE INDEX idx_choices_service ON service_choices (service);
CREATE INDEX idx_choices_domain ON service_choices (domain_id) WHERE domain_id IS NOT NULL;

-- What the admin was warned of: each certificate once for each number of days that it then had left.
CREATE TABLE expiry_warnings (
    kind        TEXT NOT NULL CHECK (kind IN ('identity', 'trust')),
    name        TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    days        INT NOT NULL,
    told_at     TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, name, fingerprint, days)
);

DO $$
DECLARE
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY ARRAY['trust', 'identities', 'services', 'service_choices', 'expiry_warnings'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', table_name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', table_name);
        EXECUTE format('CREATE POLICY workers ON %I TO nameplate_control USING (true) WITH CHECK (true)', table_name);
    END LOOP;
END
$$;
-- Tenants choose nothing of it: the admin's operations run as the workers' role.
GRANT SELECT, INSERT, UPDATE, DELETE ON trust, identities, services, service_choices, expiry_warnings TO nameplate_control;

GRANT CREATE ON SCHEMA public TO nameplate_control;
SET LOCAL ROLE nameplate_control;

-- One row a statement, however many rows it changes; none where it changes nothing.
CREATE FUNCTION record_edge_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM changed) THEN
        INSERT INTO changes (kind, key) VALUES ('edge', '');
    END IF;
    RETURN NULL;
END
$$;

CREATE VIEW services_v1 AS SELECT name, spec FROM services;

CREATE VIEW trust_v1 AS SELECT name, pem FROM trust;

CREATE VIEW identities_v1 AS
    SELECT name, fingerprint, vault_version, not_after FROM identities WHERE withdrawn_at IS NULL;

CREATE VIEW service_choices_v1 AS
    SELECT c.tenant_id, c.domain_id, c.service
    FROM service_choices c LEFT JOIN custom_domains d ON d.id = c.domain_id
    WHERE c.domain_id IS NULL OR d.deleted_at IS NULL;

GRANT SELECT ON services_v1, trust_v1, identities_v1, service_choices_v1 TO nameplate_sidecar;

RESET ROLE;
REVOKE CREATE ON SCHEMA public FROM nameplate_control;

-- A table's owner ties the function to it, and may execute it for no longer than that takes.
DO $$
DECLARE
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY ARRAY['trust', 'identities', 'services', 'service_choices'] LOOP
        EXECUTE format('CREATE TRIGGER edge_insert AFTER INSERT ON %I REFERENCING NEW TABLE AS changed
            FOR EACH STATEMENT EXECUTE FUNCTION record_edge_change()', table_name);
        EXECUTE format('CREATE TRIGGER edge_update AFTER UPDATE ON %I REFERENCING NEW TABLE AS changed
            FOR EACH STATEMENT EXECUTE FUNCTION record_edge_change()', table_name);
        EXECUTE format('CREATE TRIGGER edge_delete AFTER DELETE ON %I REFERENCING OLD TABLE AS changed
            FOR EACH STATEMENT EXECUTE FUNCTION record_edge_change()', table_name);
    END LOOP;
END
$$;

SET LOCAL ROLE nameplate_control;
REVOKE EXECUTE ON FUNCTION record_edge_change() FROM PUBLIC;
RESET ROLE;
