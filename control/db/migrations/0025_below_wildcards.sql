-- A wildcard that asks for client certificates asks nobody who visits a name below it that is registered by itself: such
-- a name is another tenant's, perhaps. Envoy tells them apart by server names, so sidecars must know these names.

-- Of a name that sidecars are shown (domains_v1): what it is one label below. All in one expression, so that whatever is
-- known of the table no other index is taken for a cheaper one.
CREATE INDEX idx_domains_below ON custom_domains (
    (CASE WHEN deleted_at IS NULL AND status IN ('verified', 'active', 'moved') AND hostname NOT LIKE '*%'
        THEN substr(hostname, strpos(hostname, '.') + 1) END), hostname);

GRANT CREATE ON SCHEMA public TO nameplate_control;
SET LOCAL ROLE nameplate_control;

-- Nothing is put into `changes` for it: each of these names has a change of its own (`domain`) as it comes and goes, and a
-- sidecar that has read of the wildcard knows by it that this view shows another list (sidecar/edge/reader.py).
-- No row: there are none. 1,001: one more than a sidecar uses.
CREATE VIEW client_auth_below_v1 AS
    SELECT a.domain_id, below.hostnames
    FROM client_auth a JOIN custom_domains w ON w.id = a.domain_id, LATERAL (
        SELECT array_agg(n.hostname::text ORDER BY n.hostname) AS hostnames FROM (
            SELECT d.hostname FROM custom_domains d
            WHERE CASE WHEN d.deleted_at IS NULL AND d.status IN ('verified', 'active', 'moved')
                AND d.hostname NOT LIKE '*%'
                THEN substr(d.hostname, strpos(d.hostname, '.') + 1) END = substr(w.hostname, 3)
            ORDER BY d.hostname LIMIT 1001) n) below
    WHERE w.hostname LIKE '*.%' AND w.deleted_at IS NULL AND w.status IN ('verified', 'active', 'moved')
        AND below.hostnames IS NOT NULL;

GRANT SELECT ON client_auth_below_v1 TO nameplate_sidecar;

RESET ROLE;
REVOKE CREATE ON SCHEMA public FROM nameplate_control;
