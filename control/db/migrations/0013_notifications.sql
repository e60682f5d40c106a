-- Telling people. `outbox` keeps what happened, written in the transaction in which it happened; a row of `deliveries` is
-- one such event on its way to one endpoint. Order is kept per endpoint and lane (a domain): of each lane only the first
-- delivery that waits has a `due_at`, so what is to be sent next is read from the front of an index.

ALTER TABLE outbox RENAME COLUMN delivered_at TO dispatched_at;
-- Without a domain: an event of the endpoints themselves. Without a tenant: for the platform's own admin only.
ALTER TABLE outbox ALTER COLUMN tenant_id DROP NOT NULL, ALTER COLUMN domain_id DROP NOT NULL;
DROP INDEX idx_outbox_waiting;
CREATE INDEX idx_outbox_waiting ON outbox (id) WHERE dispatched_at IS NULL;
CREATE INDEX idx_outbox_age ON outbox (created_at);
CREATE INDEX idx_outbox_cas ON outbox (id) WHERE event IN ('ca.out', 'ca.back');

CREATE TABLE notification_endpoints (
    id             UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id      UUID,                     -- NULL: the platform's own admin
    kind           TEXT NOT NULL CHECK (kind IN ('webhook', 'email')),
    address        TEXT NOT NULL CHECK (length(address) BETWEEN 1 AND 2048),
    events         TEXT[],                   -- NULL: all that are meant for its kind
    secret_version INT,                      -- of its signing secret in Vault
    created_at     TIMESTAMPTZ NOT NULL DEFAULT now(),
    disabled_at    TIMESTAMPTZ,
    disabled_code  TEXT,
    withdrawn_at   TIMESTAMPTZ,              -- neither shown nor used: to be removed, with its secret
    -- the queue
    due_at         TIMESTAMPTZ,              -- when there is something to send; NULL: nothing waits
    held_until     TIMESTAMPTZ,              -- the receiver asked for patience
    failing_since  TIMESTAMPTZ,              -- of the attempts since then, none has succeeded
    told_dead_at   TIMESTAMPTZ,              -- when the admin was last told of its dead letters
    lease_token    UUID,
    lease_until    TIMESTAMPTZ
);
CREATE INDEX idx_endpoints_tenant ON notification_endpoints (tenant_id, created_at, id);
CREATE INDEX idx_endpoints_due ON notification_endpoints ((failing_since IS NOT NULL), due_at) WHERE due_at IS NOT NULL;
CREATE INDEX idx_endpoints_withdrawn ON notification_endpoints (withdrawn_at) WHERE withdrawn_at IS NOT NULL;

CREATE TABLE deliveries (
    id           UUID PRIMARY KEY DEFAULT gen_random_uuid(),  -- what receivers know it by, at every attempt
    endpoint_id  UUID NOT NULL REFERENCES notification_endpoints (id) ON DELETE CASCADE,
    tenant_id    UUID,
    outbox_id    BIGINT NOT NULL REFERENCES outbox (id),
    lane         UUID NOT NULL,
    state        TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'dead')),
    attempts     INT NOT NULL DEFAULT 0,
    due_at       TIMESTAMPTZ,
    last_attempt JSONB,                      -- {at, code, message, status}
    created_at   TIMESTAMPTZ NOT NULL DEFAULT now(),
    retry_from   TIMESTAMPTZ NOT NULL DEFAULT now(),  -- it is tried for so long after this
    settled_at   TIMESTAMPTZ CHECK ((settled_at IS NULL) = (state = 'pending')),
    UNIQUE (outbox_id, endpoint_id)
);
CREATE INDEX idx_deliveries_due ON deliveries (endpoint_id, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX idx_deliveries_lane ON deliveries (endpoint_id, lane, outbox_id) WHERE state = 'pending';
CREATE INDEX idx_deliveries_oldest ON deliveries (created_at) WHERE state = 'pending';
CREATE INDEX idx_deliveries_dead ON deliveries (settled_at) WHERE state = 'dead';
CREATE INDEX idx_deliveries_settled ON deliveries (settled_at) WHERE settled_at IS NOT NULL;
CREATE INDEX idx_deliveries_recent ON deliveries (endpoint_id, outbox_id);

CREATE FUNCTION announce_outbox() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('nameplate_outbox', '');
    RETURN NULL;
END
$$;
CREATE TRIGGER announce AFTER INSERT ON outbox FOR EACH STATEMENT EXECUTE FUNCTION announce_outbox();
CREATE TRIGGER announce AFTER INSERT ON deliveries FOR EACH STATEMENT EXECUTE FUNCTION announce_outbox();

-- The tenant API's own rights on deliveries are to read them; these two do the rest, in a lane of their own, so that
-- neither waits behind what fails.
CREATE FUNCTION test_endpoint_v1(wanted UUID) RETURNS UUID
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    caller  UUID := nullif(current_setting('app.current_tenant', true), '')::uuid;
    event   BIGINT;
    sent    UUID := gen_random_uuid();
BEGIN
    UPDATE notification_endpoints SET due_at = least(due_at, now())
        WHERE id = wanted AND tenant_id = caller AND withdrawn_at IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'endpoint % is not of this tenant', wanted USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO outbox (tenant_id, event, payload, dispatched_at)
        VALUES (caller, 'notification.test', '{}', now()) RETURNING id INTO event;
    INSERT INTO deliveries (id, endpoint_id, tenant_id, outbox_id, lane, due_at)
        VALUES (sent, wanted, caller, event, sent, now());
    RETURN sent;
END
$$;

CREATE FUNCTION retry_delivery_v1(wanted UUID) RETURNS BOOLEAN
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    caller   UUID := nullif(current_setting('app.current_tenant', true), '')::uuid;
    endpoint UUID;
BEGIN
    SELECT e.id INTO endpoint FROM deliveries d JOIN notification_endpoints e ON e.id = d.endpoint_id
        WHERE d.id = wanted AND d.state = 'dead' AND e.tenant_id = caller AND e.withdrawn_at IS NULL FOR UPDATE OF e;
    IF endpoint IS NULL THEN
        RETURN FALSE;
    END IF;
    UPDATE deliveries SET state = 'pending', settled_at = NULL, attempts = 0, lane = id, due_at = now(),
        retry_from = now() WHERE id = wanted AND state = 'dead';
    IF NOT FOUND THEN
        RETURN FALSE;
    END IF;
    UPDATE notification_endpoints SET due_at = least(due_at, now()) WHERE id = endpoint;
    PERFORM pg_notify('nameplate_outbox', '');
    RETURN TRUE;
END
$$;

REVOKE EXECUTE ON FUNCTION test_endpoint_v1(UUID), retry_delivery_v1(UUID) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION test_endpoint_v1(UUID), retry_delivery_v1(UUID) TO nameplate_api;

GRANT SELECT, INSERT, UPDATE, DELETE ON notification_endpoints, deliveries TO nameplate_control;
GRANT SELECT (id, tenant_id, kind, address, events, secret_version, created_at, disabled_at, disabled_code, withdrawn_at,
    failing_since) ON notification_endpoints TO nameplate_api;
GRANT INSERT (id, tenant_id, kind, address, events, withdrawn_at) ON notification_endpoints TO nameplate_api;
GRANT UPDATE (secret_version, withdrawn_at, due_at) ON notification_endpoints TO nameplate_api;
GRANT SELECT ON deliveries, outbox TO nameplate_api;

ALTER TABLE notification_endpoints ENABLE ROW LEVEL SECURITY;
ALTER TABLE notification_endpoints FORCE ROW LEVEL SECURITY;
ALTER TABLE deliveries ENABLE ROW LEVEL SECURITY;
ALTER TABLE deliveries FORCE ROW LEVEL SECURITY;
CREATE POLICY workers ON notification_endpoints TO nameplate_control USING (true) WITH CHECK (true);
CREATE POLICY workers ON deliveries TO nameplate_control USING (true) WITH CHECK (true);
CREATE POLICY tenant_isolation_endpoints ON notification_endpoints TO nameplate_api
    USING (tenant_id = nullif(current_setting('app.current_tenant', true), '')::uuid);
CREATE POLICY tenant_isolation_deliveries ON deliveries TO nameplate_api
    USING (tenant_id = nullif(current_setting('app.current_tenant', true), '')::uuid);

GRANT CREATE ON SCHEMA public TO nameplate_control;
ALTER FUNCTION announce_outbox() OWNER TO nameplate_control;
ALTER FUNCTION test_endpoint_v1(UUID) OWNER TO nameplate_control;
ALTER FUNCTION retry_delivery_v1(UUID) OWNER TO nameplate_control;
-- Nobody is told now of what happened before anybody could be. As the workers' role, which alone sees the rows.
SET LOCAL ROLE nameplate_control;
UPDATE outbox SET dispatched_at = now() WHERE dispatched_at IS NULL;
RESET ROLE;
REVOKE CREATE ON SCHEMA public FROM nameplate_control;
