-- How many domains ask for client certificates, whosesoever they are: each is a filter chain of every Envoy.

GRANT CREATE ON SCHEMA public TO nameplate_control;
SET LOCAL ROLE nameplate_control;

CREATE FUNCTION asking_in_all_v1() RETURNS BIGINT
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT count(*) FROM client_auth
$$;
REVOKE EXECUTE ON FUNCTION asking_in_all_v1() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION asking_in_all_v1() TO nameplate_api;

RESET ROLE;
REVOKE CREATE ON SCHEMA public FROM nameplate_control;
