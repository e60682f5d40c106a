-- The CAs' limits, kept by us (control/limits), and whose turn it is for an order.

-- A bucket: `tat` is when it is full again, `clock` when it was judged last (control/limits/gcra.py). The buckets
-- refused_… keep the CA's own word: nothing is sent before their `tat`.
CREATE TABLE rate_buckets (
    directory_url TEXT NOT NULL,
    bucket        TEXT NOT NULL,
    key           TEXT NOT NULL,             -- registered domain, name or set of names; empty: the account
    tat           TIMESTAMPTZ NOT NULL,
    clock         TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (directory_url, bucket, key)
);
CREATE INDEX idx_rate_buckets_tat ON rate_buckets (tat);
CREATE INDEX idx_rate_buckets_account ON rate_buckets (directory_url) WHERE key = '';
GRANT SELECT, INSERT, UPDATE, DELETE ON rate_buckets TO nameplate_control;
ALTER TABLE rate_buckets ENABLE ROW LEVEL SECURITY;
ALTER TABLE rate_buckets FORCE ROW LEVEL SECURITY;
CREATE POLICY workers ON rate_buckets TO nameplate_control USING (true) WITH CHECK (true);
DROP TABLE rate_ledger;

ALTER TABLE acme_orders ADD COLUMN exempt BOOLEAN NOT NULL DEFAULT FALSE;  -- it was sent outside the CA's limits (RFC 9773)

-- A job that is due waits in one of two queues. A first certificate has a `turn`, by start-time fair queueing: the next
-- after its tenant's last one, and not before the present one; so a tenant with 5,000 domains delays another's only one
-- by one turn. A renewal waits by the expiry of what it replaces.
ALTER TABLE jobs
    ADD COLUMN tenant_id    UUID,            -- as in custom_domains; set with the turn
    ADD COLUMN due          BOOLEAN NOT NULL DEFAULT FALSE,  -- of kind obtain: run_at is reached, and it has its place
    ADD COLUMN turn         BIGINT,
    ADD COLUMN expires_at   TIMESTAMPTZ,     -- of the certificate that is to be replaced
    ADD COLUMN urgent_at    TIMESTAMPTZ,     -- when its renewal comes before everything else: control/certificates/renewal.py
    ADD COLUMN exempt_from  TIMESTAMPTZ,     -- its renewal is outside the CA's limits from here (RFC 9773) …
    ADD COLUMN exempt_until TIMESTAMPTZ;     -- … to here
CREATE INDEX idx_jobs_turn ON jobs (turn) WHERE kind = 'obtain' AND due AND turn IS NOT NULL;
CREATE INDEX idx_jobs_tenant_turn ON jobs (tenant_id, turn) WHERE kind = 'obtain' AND due AND turn IS NOT NULL;
CREATE INDEX idx_jobs_expiry ON jobs (expires_at) WHERE kind = 'obtain' AND due AND expires_at IS NOT NULL;
CREATE INDEX idx_jobs_urgent ON jobs (urgent_at) WHERE kind = 'obtain' AND due AND urgent_at IS NOT NULL;
CREATE INDEX idx_jobs_exempt ON jobs (exempt_until) WHERE kind = 'obtain' AND due AND exempt_until IS NOT NULL;
CREATE INDEX idx_jobs_not_due ON jobs (run_at) WHERE kind = 'obtain' AND NOT due;
CREATE INDEX idx_jobs_leased ON jobs (kind, lease_until) WHERE lease_until IS NOT NULL;

GRANT CREATE ON SCHEMA public TO nameplate_control;
SET LOCAL ROLE nameplate_control;

CREATE FUNCTION give_turn() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    had_place BOOLEAN := TG_OP = 'UPDATE' AND OLD.kind = 'obtain' AND OLD.due;
    served    RECORD;
BEGIN
    NEW.due := NEW.kind = 'obtain' AND NEW.run_at <= now();
    IF NOT NEW.due OR had_place THEN
        RETURN NEW;
    END IF;
    SELECT d.tenant_id, c.not_before, c.not_after, lower(c.ari_window) AS window_start, upper(c.ari_window) AS window_end
        INTO served FROM custom_domains d LEFT JOIN certificates c ON c.id = d.certificate_id WHERE d.id = NEW.domain_id;
    NEW.tenant_id := served.tenant_id;
    IF served.not_after IS NULL THEN
        NEW.turn := greatest(  -- a newcomer comes half a turn after whoever is next
            1 + (SELECT min(turn) FROM jobs WHERE kind = 'obtain' AND due AND turn IS NOT NULL),
            2 + (SELECT max(turn) FROM jobs WHERE kind = 'obtain' AND due AND turn IS NOT NULL AND tenant_id = NEW.tenant_id),
            0);
        NEW.expires_at := NULL;
        NEW.urgent_at := NULL;
    ELSE
        NEW.turn := NULL;
        NEW.expires_at := served.not_after;
        NEW.urgent_at := served.not_after - least((served.not_after - served.not_before) / 10, interval '5 days');
    END IF;
    NEW.exempt_from := served.window_start;
    NEW.exempt_until := served.window_end;
    RETURN NEW;
END
$$;
-- Of a domain that waits for its turn: how many orders are before its own (at most 10,000 are counted), and the buckets
-- of the CA's account. No row: it does not wait.
CREATE FUNCTION turn_of_v1(wanted_domain UUID, wanted_directory TEXT)
    RETURNS TABLE (orders BIGINT, bucket TEXT, tat TIMESTAMPTZ, clock TIMESTAMPTZ)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    mine    RECORD;
    before  BIGINT;
    others  BIGINT := 0;
BEGIN
    SELECT j.turn, j.expires_at, j.urgent_at INTO mine FROM jobs j JOIN custom_domains d ON d.id = j.domain_id
        WHERE j.domain_id = wanted_domain AND j.kind = 'obtain' AND j.lease_token IS NULL AND j.due
            AND d.deleted_at IS NULL
            AND (d.tenant_id = nullif(current_setting('app.current_tenant', true), '')::uuid
                OR pg_has_role(session_user, 'nameplate_control', 'MEMBER'));
    IF NOT FOUND THEN
        RETURN;
    END IF;
    -- First certificates and renewals take every second order each.
    IF mine.turn IS NOT NULL THEN
        SELECT count(*) INTO before FROM (SELECT FROM jobs j WHERE j.kind = 'obtain' AND j.due
            AND j.turn IS NOT NULL AND j.turn < mine.turn LIMIT 10000) first;
        SELECT count(*) INTO others FROM (SELECT FROM jobs j WHERE j.kind = 'obtain' AND j.due
            AND j.expires_at IS NOT NULL LIMIT before) renewals;
    ELSE
        SELECT count(*) INTO before FROM (SELECT FROM jobs j WHERE j.kind = 'obtain' AND j.due
            AND j.expires_at IS NOT NULL AND j.expires_at < mine.expires_at LIMIT 10000) renewals;
        IF mine.urgent_at > now() THEN
            SELECT count(*) INTO others FROM (SELECT FROM jobs j WHERE j.kind = 'obtain' AND j.due
                AND j.turn IS NOT NULL LIMIT before) first;
        END IF;
    END IF;
    RETURN QUERY SELECT before + others, b.bucket, b.tat, b.clock
        FROM (VALUES (wanted_directory)) wanted (url)
        LEFT JOIN rate_buckets b ON b.directory_url = wanted.url AND b.key = '';
END
$$;

REVOKE EXECUTE ON FUNCTION turn_of_v1(UUID, TEXT) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION turn_of_v1(UUID, TEXT) TO nameplate_api;

RESET ROLE;
REVOKE CREATE ON SCHEMA public FROM nameplate_control;

CREATE TRIGGER give_turn BEFORE INSERT OR UPDATE OF kind, run_at, due ON jobs
    FOR EACH ROW EXECUTE FUNCTION give_turn();

-- Jobs that wait already, in the order in which they do. As the workers: the tables' owner sees no row.
SET LOCAL ROLE nameplate_control;
DO $$
DECLARE
    waiting RECORD;
BEGIN
    FOR waiting IN SELECT domain_id FROM jobs WHERE kind = 'obtain' ORDER BY run_at LOOP
        UPDATE jobs SET due = TRUE WHERE domain_id = waiting.domain_id;
    END LOOP;
END
$$;
RESET ROLE;
