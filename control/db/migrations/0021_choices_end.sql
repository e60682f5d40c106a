-- A choice of a service ends what was decided by the one before: in the connection lane a connection keeps the cluster
-- that it was told for as long as it lives, unless its registration has ended (0005).

GRANT CREATE ON SCHEMA public TO nameplate_control;
SET LOCAL ROLE nameplate_control;

CREATE FUNCTION record_choice_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    of_tenant UUID := CASE TG_OP WHEN 'DELETE' THEN OLD.tenant_id ELSE NEW.tenant_id END;
    of_domain UUID := CASE TG_OP WHEN 'DELETE' THEN OLD.domain_id ELSE NEW.domain_id END;
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.service = NEW.service THEN
        RETURN NULL;
    END IF;
    INSERT INTO changes (kind, key, ended)
        SELECT 'domain', d.hostname, d.id FROM custom_domains d
        WHERE d.deleted_at IS NULL AND d.status IN ('verified', 'active', 'moved')
            AND CASE WHEN of_domain IS NOT NULL THEN d.id = of_domain
                ELSE d.tenant_id = of_tenant AND NOT EXISTS (SELECT FROM service_choices c WHERE c.domain_id = d.id) END;
    IF of_domain IS NULL THEN
        INSERT INTO changes (kind, key, ended) SELECT 'tenant', slug, id FROM tenants WHERE id = of_tenant;
    END IF;
    RETURN NULL;
END
$$;

GRANT EXECUTE ON FUNCTION record_choice_change() TO PUBLIC;
RESET ROLE;
REVOKE CREATE ON SCHEMA public FROM nameplate_control;

CREATE TRIGGER choice_change AFTER INSERT OR UPDATE OR DELETE ON service_choices
    FOR EACH ROW EXECUTE FUNCTION record_choice_change();

SET LOCAL ROLE nameplate_control;
REVOKE EXECUTE ON FUNCTION record_choice_change() FROM PUBLIC;
RESET ROLE;
