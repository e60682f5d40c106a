-- Where a trace goes on: jobs, changes of the feed and notifications keep the W3C traceparent of what made them, which a
-- transaction says in the setting nameplate.trace. Without a collector nobody says it, and nothing is kept.

-- What is no traceparent of a recorded span is passed over: a trace is never a reason to fail.
CREATE FUNCTION given_trace() RETURNS TEXT LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT substring(current_setting('nameplate.trace', true) from '^00-[0-9a-f]{32}-[0-9a-f]{16}-01$')
$$;

-- Jobs first, as workers take them.
ALTER TABLE jobs
    ADD COLUMN trace     TEXT,
    ADD COLUMN traced_at TIMESTAMPTZ;        -- a job that is tried for days is not one trace
ALTER TABLE changes ADD COLUMN trace TEXT DEFAULT given_trace();
ALTER TABLE outbox ADD COLUMN trace TEXT DEFAULT given_trace();

-- A job is also asked for anew, and becomes another kind, by an UPDATE.
CREATE FUNCTION keep_trace() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    given TEXT := given_trace();
BEGIN
    IF given IS NOT NULL THEN
        NEW.trace := given;
        NEW.traced_at := now();
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER keep_trace BEFORE INSERT OR UPDATE OF kind, asked ON jobs FOR EACH ROW EXECUTE FUNCTION keep_trace();

-- Beside changes_v1, which is read at each change: only sidecars that record traces ask for these.
CREATE VIEW change_traces_v1 AS SELECT id, trace FROM changes WHERE trace IS NOT NULL;
GRANT SELECT ON change_traces_v1 TO nameplate_sidecar;
GRANT CREATE ON SCHEMA public TO nameplate_control;
ALTER VIEW change_traces_v1 OWNER TO nameplate_control;
REVOKE CREATE ON SCHEMA public FROM nameplate_control;
