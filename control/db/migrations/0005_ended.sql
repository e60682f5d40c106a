-- A change says which registration ended with it: the domain that is not served under its hostname any more, or the
-- tenant that is not under its slug. The connection lane asks nothing more about a connection that was let in, so it
-- must be told exactly, also of names that a sidecar does not hold, and of those that ended before it started.

ALTER TABLE changes ADD COLUMN ended UUID;
CREATE INDEX idx_changes_ended ON changes (at) WHERE ended IS NOT NULL;

GRANT CREATE ON SCHEMA public TO nameplate_control;
SET LOCAL ROLE nameplate_control;

-- Live is what the sidecar's queries call so: active, or about to be, with its certificate issued.
CREATE OR REPLACE FUNCTION record_domain_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    was_visible BOOLEAN := TG_OP <> 'INSERT' AND OLD.deleted_at IS NULL AND OLD.status IN ('verified', 'active');
    is_visible  BOOLEAN := TG_OP <> 'DELETE' AND NEW.deleted_at IS NULL AND NEW.status IN ('verified', 'active');
    was_live    BOOLEAN := was_visible AND (OLD.status = 'active' OR OLD.certificate_id IS NOT NULL);
    is_live     BOOLEAN := is_visible AND (NEW.status = 'active' OR NEW.certificate_id IS NOT NULL);
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

CREATE OR REPLACE FUNCTION record_tenant_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.slug = NEW.slug THEN
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO changes (kind, key, ended) VALUES ('tenant', OLD.slug, OLD.id);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO changes (kind, key) VALUES ('tenant', NEW.slug);
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE VIEW changes_v1 AS SELECT id, xid, kind, key, at, ended FROM changes;

RESET ROLE;
REVOKE CREATE ON SCHEMA public FROM nameplate_control;
