-- What operators look at: how many domains are where, who is failing and why, any name, any line of the audit. A million
-- domains are counted at most once in a while (control/overview/figures.py); everything else is read from the front of
-- an index (0032).

-- The last count. One row; `took`: milliseconds.
CREATE TABLE overview_figures (
    only_row BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (only_row),
    at       TIMESTAMPTZ NOT NULL,
    took     INT NOT NULL,
    figures  JSONB NOT NULL
);

-- Each replica of control, and what it knows by itself: how the CAs have answered it. `view`: control/overview/replicas.py.
CREATE TABLE control_replicas (
    name       TEXT PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 300),
    started_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    heard_at   TIMESTAMPTZ NOT NULL DEFAULT now(),
    ended_at   TIMESTAMPTZ,                  -- it has said so; NULL: it has not
    view       JSONB NOT NULL
);
CREATE INDEX idx_control_replicas_heard ON control_replicas (heard_at);

DO $$
DECLARE
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY ARRAY['overview_figures', 'control_replicas'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', table_name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', table_name);
        EXECUTE format('CREATE POLICY workers ON %I TO nameplate_control USING (true) WITH CHECK (true)', table_name);
    END LOOP;
END
$$;
-- Neither tenants nor sidecars have any business with them.
GRANT SELECT, INSERT, UPDATE, DELETE ON overview_figures, control_replicas TO nameplate_control;
