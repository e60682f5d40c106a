-- The name in the platform's own zone to which a tenant's CNAME at _acme-challenge.<host> leads (DNS-01), and what was
-- written there.

-- Every label is drawn from its tenant's secret and the host: nobody else can tell it, a wildcard shares it with its
-- base name (there is room for one CNAME), and a domain that is deleted and added again finds its CNAME right.
ALTER TABLE tenants ADD COLUMN acme_secret UUID NOT NULL DEFAULT gen_random_uuid();
ALTER TABLE custom_domains ADD COLUMN acme_label TEXT CHECK (acme_label ~ '^[0-9a-f]{32}$');

-- What stands in the zone, written down before it is sent there, so that what a killed worker left is found. Without a
-- foreign key, because a record outlives its domain.
CREATE TABLE acme_txt (
    domain_id  UUID NOT NULL,
    name       TEXT NOT NULL,                -- without the final dot
    value      TEXT NOT NULL,
    written_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (domain_id, name, value)
);
CREATE INDEX idx_acme_txt_name ON acme_txt (name, value);
CREATE INDEX idx_acme_txt_age ON acme_txt (written_at);
ALTER TABLE acme_txt ENABLE ROW LEVEL SECURITY;
ALTER TABLE acme_txt FORCE ROW LEVEL SECURITY;
CREATE POLICY workers ON acme_txt TO nameplate_control USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON acme_txt TO nameplate_control;

GRANT CREATE ON SCHEMA public TO nameplate_control;
SET LOCAL ROLE nameplate_control;

CREATE FUNCTION set_acme_label() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    NEW.acme_label := (
        SELECT left(encode(sha256(convert_to(acme_secret || ' ' || regexp_replace(NEW.hostname, '^\*\.', ''), 'UTF8')), 'hex'), 32)
        FROM tenants WHERE id = NEW.tenant_id);
    RETURN NEW;
END
$$;
RESET ROLE;
CREATE TRIGGER acme_label BEFORE INSERT OR UPDATE OF tenant_id, hostname, acme_label ON custom_domains
    FOR EACH ROW EXECUTE FUNCTION set_acme_label();

SET LOCAL ROLE nameplate_control;
-- From now on nobody can tie it to a table of his own, which would tell him other tenants' labels.
REVOKE EXECUTE ON FUNCTION set_acme_label() FROM PUBLIC;
-- As the workers' role, which sees every row.
UPDATE custom_domains SET acme_label = NULL;
RESET ROLE;
ALTER TABLE custom_domains ALTER COLUMN acme_label SET NOT NULL;
REVOKE CREATE ON SCHEMA public FROM nameplate_control;
