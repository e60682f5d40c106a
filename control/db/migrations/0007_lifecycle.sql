-- What a certificate's years need: the states `moved` and `paused`, when to renew, when to look again, what comes next.

ALTER TABLE custom_domains DROP CONSTRAINT custom_domains_status_check;
ALTER TABLE custom_domains ADD CONSTRAINT custom_domains_status_check
    CHECK (status IN ('pending', 'dns_check', 'verified', 'active', 'failed', 'moved'));
ALTER TABLE custom_domains DROP CONSTRAINT custom_domains_ssl_status_check;
ALTER TABLE custom_domains ADD CONSTRAINT custom_domains_ssl_status_check
    CHECK (ssl_status IN ('none', 'validating', 'issued', 'expiring', 'renewed', 'error', 'paused'));

ALTER TABLE custom_domains
    ADD COLUMN renew_at        TIMESTAMPTZ,      -- of the certificate that is served; NULL: there is none
    ADD COLUMN renewal_info_at TIMESTAMPTZ,      -- when the CA is asked next for its renewal information (RFC 9773)
    ADD COLUMN look_at         TIMESTAMPTZ,      -- when the name's DNS is looked at again, once it is active
    ADD COLUMN misses          INT NOT NULL DEFAULT 0,  -- looks in a row that found it elsewhere
    ADD COLUMN next_attempt    JSONB;            -- {at, code, message}: when a certificate is tried for again, and why then

ALTER TABLE certificates ADD COLUMN ari_id TEXT;  -- what its CA knows it by (RFC 9773, 4.1); NULL: it names no issuer key

-- Each scheduler reads its own index from the front, so that a million rows cost no scan.
CREATE INDEX idx_domains_renew ON custom_domains (renew_at)
    WHERE deleted_at IS NULL AND status = 'active' AND ssl_status IN ('issued', 'renewed');
CREATE INDEX idx_domains_renewal_info ON custom_domains (renewal_info_at)
    WHERE deleted_at IS NULL AND status = 'active';
CREATE INDEX idx_domains_look ON custom_domains (look_at)
    WHERE deleted_at IS NULL AND status IN ('active', 'moved');

-- A name that has moved is served as long as somebody still comes: `moved` is as visible as `active`.
GRANT CREATE ON SCHEMA public TO nameplate_control;
SET LOCAL ROLE nameplate_control;

-- As the workers' role, which sees every row. Certificates that are there already: at a third of their lifetime, or 30
-- days, before the end.
UPDATE custom_domains d SET look_at = now() + random() * interval '1 day', renewal_info_at = now(),
    renew_at = c.not_after - least(interval '30 days', (c.not_after - c.not_before) / 3)
    FROM certificates c WHERE c.id = d.certificate_id AND d.deleted_at IS NULL;

CREATE OR REPLACE FUNCTION record_domain_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    was_visible BOOLEAN := TG_OP <> 'INSERT' AND OLD.deleted_at IS NULL AND OLD.status IN ('verified', 'active', 'moved');
    is_visible  BOOLEAN := TG_OP <> 'DELETE' AND NEW.deleted_at IS NULL AND NEW.status IN ('verified', 'active', 'moved');
    was_live    BOOLEAN := was_visible AND (OLD.status <> 'verified' OR OLD.certificate_id IS NOT NULL);
    is_live     BOOLEAN := is_visible AND (NEW.status <> 'verified' OR NEW.certificate_id IS NOT NULL);
    is_the_same BOOLEAN := was_live AND is_live AND (OLD.hostname, OLD.tenant_id) = (NEW.hostname, NEW.tenant_id);
BEGIN
    IF was_visible AND is_visible
       AND (OLD.hostname, OLD.tenant_id, OLD.status) = (NEW.hostname, NEW.tenant_id, NEW.status)
       AND OLD.certificate_id IS NOT DISTINCT FROM NEW.certificate_id THEN
        RETURN NULL;
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
           c.vault_version, c.fingerprint, c.serial, c.not_after
    FROM custom_domains d LEFT JOIN certificates c ON c.id = d.certificate_id
    WHERE d.deleted_at IS NULL AND d.status IN ('verified', 'active', 'moved');

RESET ROLE;
REVOKE CREATE ON SCHEMA public FROM nameplate_control;
