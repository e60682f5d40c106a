-- Who owns a name over the years: a name belongs to whoever proved it, and an unproven claim blocks nobody else's.

-- The first is also the lookup hostname → tenant: its condition is the one of domains_v1.
DROP INDEX idx_custom_domains_hostname;
CREATE UNIQUE INDEX idx_domains_proven ON custom_domains (hostname)
    WHERE deleted_at IS NULL AND status IN ('verified', 'active', 'moved');
CREATE UNIQUE INDEX idx_domains_claims ON custom_domains (tenant_id, hostname) WHERE deleted_at IS NULL;
-- Names that were proven and given up: they cool down.
CREATE INDEX idx_domains_released ON custom_domains (hostname, deleted_at)
    WHERE deleted_at IS NOT NULL AND status IN ('verified', 'active', 'moved');
-- Names whose holder is asked whether it still is: somebody else has proved them.
CREATE INDEX idx_domains_contested ON custom_domains (hostname)
    WHERE deleted_at IS NULL AND status = 'dns_check' AND dns_finding->>'code' = 'hostname_in_use';

-- Where this tenant's CNAMEs lead: <target_label>.<the platform's CNAME target>. Nobody guesses 74 random bits.
ALTER TABLE tenants ADD COLUMN target_label TEXT NOT NULL UNIQUE
    DEFAULT 't-' || left(replace(gen_random_uuid()::text, '-', ''), 20) CHECK (target_label ~ '^t-[0-9a-f]{20}$');

ALTER TABLE custom_domains
    ADD COLUMN looked_at  TIMESTAMPTZ,  -- when the name's DNS was looked at last, once it is active
    ADD COLUMN arrived_at TIMESTAMPTZ;  -- when it was first seen to lead here: certificates may come before traffic

-- What a tenant may know of others' claims to a hostname. `taken`: another tenant has it in use; it is looked at again
-- soon, for it may have moved. `available_at`: until then it cools down, because another tenant has given it up.
CREATE FUNCTION hostname_state_v1(wanted TEXT, cool_down INTERVAL, OUT taken BOOLEAN, OUT available_at TIMESTAMPTZ)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    caller UUID := nullif(current_setting('app.current_tenant', true), '')::uuid;
    holder UUID;
BEGIN
    IF caller IS NULL THEN
        RAISE EXCEPTION 'no tenant is set' USING ERRCODE = 'insufficient_privilege';
    END IF;
    SELECT id INTO holder FROM custom_domains
        WHERE hostname = wanted AND deleted_at IS NULL AND status IN ('verified', 'active', 'moved')
            AND status <> 'moved' AND tenant_id <> caller;
    taken := holder IS NOT NULL;
    IF taken THEN
        PERFORM look_soon(holder);
    END IF;
    SELECT max(deleted_at) + cool_down INTO available_at FROM custom_domains
        WHERE hostname = wanted AND deleted_at > now() - cool_down AND status IN ('verified', 'active', 'moved')
            AND tenant_id <> caller;
END
$$;

-- Brings the next look at an active name forward, though not within five minutes of the last: whoever asks for a name
-- that is not his decides neither how often its DNS is asked, nor how fast looks that miss it follow each other.
CREATE FUNCTION look_soon(holder UUID) RETURNS void LANGUAGE sql SET search_path = public, pg_temp AS $$
    UPDATE custom_domains SET look_at = greatest(now(), looked_at + interval '5 minutes')
    WHERE id IN (SELECT id FROM custom_domains
                 WHERE id = holder AND deleted_at IS NULL AND status IN ('active', 'moved')
                     AND (look_at IS NULL OR look_at > greatest(now(), looked_at + interval '5 minutes'))
                 FOR UPDATE SKIP LOCKED);
$$;

REVOKE EXECUTE ON FUNCTION hostname_state_v1(TEXT, INTERVAL), look_soon(UUID) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hostname_state_v1(TEXT, INTERVAL) TO nameplate_api;
GRANT CREATE ON SCHEMA public TO nameplate_control;
ALTER FUNCTION hostname_state_v1(TEXT, INTERVAL) OWNER TO nameplate_control;
ALTER FUNCTION look_soon(UUID) OWNER TO nameplate_control;
REVOKE CREATE ON SCHEMA public FROM nameplate_control;
