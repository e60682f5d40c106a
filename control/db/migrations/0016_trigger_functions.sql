-- A role that may execute a trigger function can tie it to a temporary table of its own, whose rows it makes up: with the
-- workers' rights it would then write into the change feed, or read whose a domain is. Triggers that are there fire on.

SET LOCAL ROLE nameplate_control;
REVOKE EXECUTE ON FUNCTION record_domain_change(), record_tenant_change(), record_challenge_change(), give_turn(),
    seal_audit() FROM PUBLIC;
RESET ROLE;

-- The audit's guards belong to whoever migrates: a role can drop a function of its own, and with it every trigger that
-- executes it, on tables of others too.
CREATE FUNCTION keep_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE FUNCTION keep_audit_head() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.tenant_id <> OLD.tenant_id OR NEW.seq < OLD.seq OR NEW.anchored < OLD.anchored OR NEW.anchored > NEW.seq
       OR NEW.seq = OLD.seq AND NEW.hash <> OLD.hash THEN
        RAISE EXCEPTION 'audit_heads only move on' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;

DO $$
DECLARE
    guard RECORD;
BEGIN
    FOR guard IN SELECT * FROM (VALUES
            ('audit', 'append_only', 'UPDATE OR DELETE OR TRUNCATE', 'STATEMENT', 'keep_audit'),
            ('audit_seals', 'append_only', 'UPDATE OR DELETE OR TRUNCATE', 'STATEMENT', 'keep_audit'),
            ('audit_checkpoints', 'append_only', 'UPDATE OR DELETE OR TRUNCATE', 'STATEMENT', 'keep_audit'),
            ('audit_heads', 'append_only', 'DELETE OR TRUNCATE', 'STATEMENT', 'keep_audit'),
            ('audit_heads', 'moves_on', 'UPDATE', 'ROW', 'keep_audit_head'))
            AS guards (table_name, trigger_name, events, level, function_name) LOOP
        EXECUTE format('DROP TRIGGER %I ON %I', guard.trigger_name, guard.table_name);
        EXECUTE format('CREATE TRIGGER %I BEFORE %s ON %I FOR EACH %s EXECUTE FUNCTION %I()', guard.trigger_name,
            guard.events, guard.table_name, guard.level, guard.function_name);
        EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER %I', guard.table_name, guard.trigger_name);
    END LOOP;
END
$$;

SET LOCAL ROLE nameplate_control;
DROP FUNCTION refuse_audit_change(), refuse_head_change();
RESET ROLE;
