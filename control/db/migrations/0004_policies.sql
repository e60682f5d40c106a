-- Who may do what. Row level security is forced: it binds the tables' owner as well. An unset tenant sees nothing.

GRANT SELECT, INSERT, UPDATE, DELETE ON tenants, custom_domains, certificates, challenges, acme_accounts, acme_orders,
    rate_ledger, jobs, outbox, idempotency_keys TO nameplate_control;
GRANT SELECT, INSERT, DELETE ON changes TO nameplate_control;
GRANT SELECT, UPDATE ON feed TO nameplate_control;
GRANT SELECT, INSERT ON audit TO nameplate_control;
GRANT SELECT ON schema_migrations TO nameplate_control;  -- for `nameplate doctor`

GRANT SELECT ON tenants, custom_domains, certificates, audit, idempotency_keys TO nameplate_api;
GRANT INSERT (id, slug) ON tenants TO nameplate_api;
GRANT INSERT (tenant_id, hostname, verification_token, verify_deadline, metadata) ON custom_domains TO nameplate_api;
GRANT UPDATE (status, ssl_status, failure_count, verify_deadline, dns_finding, ssl_finding, verified_by, deleted_at,
    updated_at) ON custom_domains TO nameplate_api;
GRANT INSERT (tenant_id, domain_id, hostname, actor, action, detail) ON audit TO nameplate_api;
GRANT INSERT (tenant_id, domain_id, event, payload) ON outbox TO nameplate_api;
GRANT INSERT, UPDATE (response) ON idempotency_keys TO nameplate_api;

DO $$
DECLARE
    table_name text;
BEGIN
    FOREACH table_name IN ARRAY ARRAY['tenants', 'custom_domains', 'certificates', 'challenges', 'acme_accounts', 'acme_orders',
            'rate_ledger', 'jobs', 'changes', 'feed', 'audit', 'outbox', 'idempotency_keys'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', table_name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', table_name);
        EXECUTE format('CREATE POLICY workers ON %I TO nameplate_control USING (true) WITH CHECK (true)', table_name);
    END LOOP;
END
$$;

CREATE POLICY tenant_isolation_tenants ON tenants TO nameplate_api
    USING (id = nullif(current_setting('app.current_tenant', true), '')::uuid);
CREATE POLICY tenant_isolation_domains ON custom_domains TO nameplate_api
    USING (tenant_id = nullif(current_setting('app.current_tenant', true), '')::uuid);
CREATE POLICY tenant_isolation_certificates ON certificates TO nameplate_api
    USING (EXISTS (SELECT FROM custom_domains d WHERE d.id = domain_id));
CREATE POLICY tenant_isolation_audit ON audit TO nameplate_api
    USING (tenant_id = nullif(current_setting('app.current_tenant', true), '')::uuid);
CREATE POLICY tenant_isolation_outbox ON outbox TO nameplate_api
    USING (tenant_id = nullif(current_setting('app.current_tenant', true), '')::uuid);
CREATE POLICY tenant_isolation_idempotency ON idempotency_keys TO nameplate_api
    USING (tenant_id = nullif(current_setting('app.current_tenant', true), '')::uuid);
