-- Sessions of the pages. Only the workers' role reads and writes them: whose session it is says what the rest may do.

CREATE TABLE ui_sessions (
    id         UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    token      BYTEA NOT NULL UNIQUE CHECK (length(token) = 32),   -- SHA-256 of what the browser's cookie holds
    ticket     BYTEA NOT NULL UNIQUE CHECK (length(ticket) = 32),  -- SHA-256 of the hand-over ticket, which is used up
    tenant_id  UUID,                                               -- NULL: one of the platform's own people
    subject    TEXT NOT NULL CHECK (length(subject) BETWEEN 1 AND 255),
    created_at TIMESTAMPTZ NOT NULL,
    used_at    TIMESTAMPTZ NOT NULL,   -- to the minute
    expires_at TIMESTAMPTZ NOT NULL,   -- whatever happens
    ended_at   TIMESTAMPTZ             -- signed out; the row stays a while, so that its ticket stays used
);
CREATE INDEX idx_ui_sessions_used ON ui_sessions (used_at);

ALTER TABLE ui_sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE ui_sessions FORCE ROW LEVEL SECURITY;
CREATE POLICY workers ON ui_sessions TO nameplate_control USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON ui_sessions TO nameplate_control;
