-- How far the last change of a domain has come: the transaction that its tenant asks the sidecars about.

CREATE INDEX idx_changes_key ON changes (key, xid) WHERE kind = 'domain';
CREATE INDEX idx_changes_edge ON changes (xid) WHERE kind = 'edge';

-- The newest change of the domain, or of what all domains share: who is sent where, whose certificates are asked for.
-- Where it was pruned, all that was: whoever has seen that has seen it. NULL: not a domain of this tenant.
CREATE FUNCTION domain_generation_v1(wanted_domain UUID) RETURNS BIGINT
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT greatest(
        (SELECT xid FROM changes WHERE kind = 'domain' AND key = d.hostname ORDER BY xid DESC LIMIT 1),
        (SELECT xid FROM changes WHERE kind = 'edge' ORDER BY xid DESC LIMIT 1),
        (SELECT pruned_xid FROM feed))::text::bigint
    FROM custom_domains d
    WHERE d.id = wanted_domain AND d.tenant_id = nullif(current_setting('app.current_tenant', true), '')::uuid;
$$;

REVOKE EXECUTE ON FUNCTION domain_generation_v1(UUID) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION domain_generation_v1(UUID) TO nameplate_api;
GRANT CREATE ON SCHEMA public TO nameplate_control;
ALTER FUNCTION domain_generation_v1(UUID) OWNER TO nameplate_control;
REVOKE CREATE ON SCHEMA public FROM nameplate_control;
