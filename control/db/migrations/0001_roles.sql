-- The three database roles. They are made without a password: an operator sets one (or uses peer or certificate
-- authentication) before the role can be used from another machine. Roles belong to the whole cluster, so two
-- databases may race to make them.
DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['nameplate_api', 'nameplate_control', 'nameplate_sidecar'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS', role_name);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END LOOP;
    -- The views and the trigger functions are owned by the workers' role (see 0003), whoever migrates.
    IF NOT pg_has_role(current_user, 'nameplate_control', 'SET') THEN
        EXECUTE format('GRANT nameplate_control TO %I WITH SET TRUE, INHERIT FALSE', current_user);
    END IF;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO nameplate_api, nameplate_control, nameplate_sidecar', current_database());
END
$$;

GRANT USAGE ON SCHEMA public TO nameplate_api, nameplate_control, nameplate_sidecar;
