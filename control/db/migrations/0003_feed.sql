-- Triggers that write the change feed, and the views that the sidecar reads. Their owner is the workers' role, whose
-- policies (0004) let it see every row: so row level security can be forced on the tables' owner too.
-- pg_temp comes last in the functions' search path: where it is not named it comes first, and a caller's temporary table
-- (with a trigger on it) would stand in for ours, with the workers' rights.

CREATE FUNCTION record_domain_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    was_visible BOOLEAN := TG_OP <> 'INSERT' AND OLD.deleted_at IS NULL AND OLD.status IN ('verified', 'active');
    is_visible  BOOLEAN := TG_OP <> 'DELETE' AND NEW.deleted_at IS NULL AND NEW.status IN ('verified', 'active');
BEGIN
    IF was_visible AND is_visible
       AND (OLD.hostname, OLD.tenant_id, OLD.status) = (NEW.hostname, NEW.tenant_id, NEW.status)
       AND OLD.certificate_id IS NOT DISTINCT FROM NEW.certificate_id THEN
        RETURN NULL;
    END IF;
    IF was_visible THEN
        INSERT INTO changes (kind, key) VALUES ('domain', OLD.hostname);
    END IF;
    IF is_visible AND NOT (was_visible AND OLD.hostname = NEW.hostname) THEN
        INSERT INTO changes (kind, key) VALUES ('domain', NEW.hostname);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER domain_change AFTER INSERT OR UPDATE OR DELETE ON custom_domains
    FOR EACH ROW EXECUTE FUNCTION record_domain_change();

CREATE FUNCTION record_tenant_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.slug = NEW.slug THEN
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO changes (kind, key) VALUES ('tenant', OLD.slug);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO changes (kind, key) VALUES ('tenant', NEW.slug);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER tenant_change AFTER INSERT OR UPDATE OR DELETE ON tenants
    FOR EACH ROW EXECUTE FUNCTION record_tenant_change();

CREATE FUNCTION record_challenge_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO changes (kind, key) VALUES ('challenge', CASE TG_OP WHEN 'DELETE' THEN OLD.token ELSE NEW.token END);
    RETURN NULL;
END
$$;
CREATE TRIGGER challenge_change AFTER INSERT OR UPDATE OR DELETE ON challenges
    FOR EACH ROW EXECUTE FUNCTION record_challenge_change();

-- The payload is the transaction, so PostgreSQL folds a transaction's notifications into one.
CREATE FUNCTION announce_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('nameplate_changes', pg_current_xact_id()::text);
    RETURN NULL;
END
$$;
CREATE TRIGGER announce AFTER INSERT ON changes FOR EACH STATEMENT EXECUTE FUNCTION announce_changes();

CREATE FUNCTION announce_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.run_at <= now() AND NEW.lease_token IS NULL THEN
        PERFORM pg_notify('nameplate_jobs', NEW.kind);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER announce AFTER INSERT OR UPDATE OF run_at, kind ON jobs FOR EACH ROW EXECUTE FUNCTION announce_job();

-- The tenant API asks for work on its own domain; it has no other right on jobs. Work under way keeps its lease. A look
-- at the DNS never displaces a revocation, nor the certificate of a domain that is proven already.
CREATE FUNCTION request_job_v1(wanted_domain UUID, wanted_kind TEXT) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM custom_domains WHERE id = wanted_domain
                   AND tenant_id = nullif(current_setting('app.current_tenant', true), '')::uuid) THEN
        RAISE EXCEPTION 'domain % is not of this tenant', wanted_domain USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO jobs (domain_id, kind) VALUES (wanted_domain, wanted_kind)
        ON CONFLICT (domain_id) DO UPDATE SET kind = excluded.kind, run_at = now(), asked = jobs.asked + 1,
            attempts = CASE WHEN jobs.kind = excluded.kind THEN jobs.attempts ELSE 0 END
        WHERE excluded.kind = 'revoke' OR jobs.kind = excluded.kind
            OR jobs.kind = 'obtain' AND EXISTS (SELECT FROM custom_domains
                WHERE id = wanted_domain AND status IN ('pending', 'dns_check', 'failed'));
END
$$;

CREATE VIEW domains_v1 AS
    SELECT d.hostname, d.id AS domain_id, d.tenant_id, d.status, d.ssl_status,
           c.vault_version, c.fingerprint, c.serial, c.not_after
    FROM custom_domains d LEFT JOIN certificates c ON c.id = d.certificate_id
    WHERE d.deleted_at IS NULL AND d.status IN ('verified', 'active');

CREATE VIEW tenants_v1 AS SELECT slug, id AS tenant_id FROM tenants;

CREATE VIEW challenges_v1 AS
    SELECT c.token, c.key_authorization, c.expires_at, d.hostname
    FROM challenges c JOIN custom_domains d ON d.id = c.domain_id
    WHERE c.expires_at > now() AND d.deleted_at IS NULL;

CREATE VIEW changes_v1 AS SELECT id, xid, kind, key, at FROM changes;

CREATE VIEW feed_v1 AS SELECT id AS feed_id, pruned_xid FROM feed;

REVOKE EXECUTE ON FUNCTION request_job_v1(UUID, TEXT) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION request_job_v1(UUID, TEXT) TO nameplate_api;
GRANT SELECT ON domains_v1, tenants_v1, challenges_v1, changes_v1, feed_v1 TO nameplate_sidecar;

-- Last, because afterwards the migrating role has no right to them: it does not inherit the workers'.
GRANT CREATE ON SCHEMA public TO nameplate_control;
ALTER FUNCTION record_domain_change() OWNER TO nameplate_control;
ALTER FUNCTION record_tenant_change() OWNER TO nameplate_control;
ALTER FUNCTION record_challenge_change() OWNER TO nameplate_control;
ALTER FUNCTION request_job_v1(UUID, TEXT) OWNER TO nameplate_control;
ALTER VIEW domains_v1 OWNER TO nameplate_control;
ALTER VIEW tenants_v1 OWNER TO nameplate_control;
ALTER VIEW challenges_v1 OWNER TO nameplate_control;
ALTER VIEW changes_v1 OWNER TO nameplate_control;
ALTER VIEW feed_v1 OWNER TO nameplate_control;
REVOKE CREATE ON SCHEMA public FROM nameplate_control;
