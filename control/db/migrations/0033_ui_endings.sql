-- When all sessions of a person were ended at once: no link that was made before begins another one. A row is needed for
-- as long as such a link is good (control/housekeeping.py).

CREATE TABLE ui_endings (
    id        UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id UUID,                          -- NULL: one of the platform's own people
    subject   TEXT NOT NULL CHECK (length(subject) BETWEEN 1 AND 255),
    at        TIMESTAMPTZ NOT NULL
);
CREATE INDEX idx_ui_endings_subject ON ui_endings (subject, at);

ALTER TABLE ui_endings ENABLE ROW LEVEL SECURITY;
ALTER TABLE ui_endings FORCE ROW LEVEL SECURITY;
CREATE POLICY workers ON ui_endings TO nameplate_control USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, DELETE ON ui_endings TO nameplate_control;
