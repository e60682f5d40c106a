-- What the tenants' API needs for a certificate's years: renewal and resumption by one call, live diagnosis at a bounded
-- pace, and registrations counted by the day.

ALTER TABLE custom_domains ADD COLUMN diagnosed_at TIMESTAMPTZ;  -- when its tenant last had it diagnosed

-- Deleted rows too: whoever registers and deletes in a loop has registered.
CREATE INDEX idx_domains_registrations ON custom_domains (tenant_id, created_at);

GRANT UPDATE (renew_at, look_at, next_attempt, diagnosed_at) ON custom_domains TO nameplate_api;

-- The tenant asks for a certificate of its own domain now. Only what is proven may have one (else nothing happens), and
-- a revocation is never displaced. Work under way keeps its lease.
CREATE FUNCTION request_certificate_v1(wanted_domain UUID) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO jobs (domain_id, kind)
        SELECT id, 'obtain' FROM custom_domains WHERE id = wanted_domain AND deleted_at IS NULL
            AND status IN ('verified', 'active')
            AND tenant_id = nullif(current_setting('app.current_tenant', true), '')::uuid
        ON CONFLICT (domain_id) DO UPDATE SET kind = 'obtain', run_at = now(), asked = jobs.asked + 1, attempts = 0
        WHERE jobs.kind <> 'revoke';
$$;

REVOKE EXECUTE ON FUNCTION request_certificate_v1(UUID) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION request_certificate_v1(UUID) TO nameplate_api;
GRANT CREATE ON SCHEMA public TO nameplate_control;
ALTER FUNCTION request_certificate_v1(UUID) OWNER TO nameplate_control;
REVOKE CREATE ON SCHEMA public FROM nameplate_control;
