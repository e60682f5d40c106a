-- Sidecars read the whole edge again at each change of it: so only what they read of it is one. What was warned of, who
-- changed what when, and an identity that is not in force yet, or no more, are not.

GRANT CREATE ON SCHEMA public TO nameplate_control;
SET LOCAL ROLE nameplate_control;

-- Its arguments: columns that the views do not show. Rows that are withdrawn are not shown at all.
CREATE OR REPLACE FUNCTION record_edge_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    is_change BOOLEAN;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        WITH old_rows AS (SELECT to_jsonb(b) - TG_ARGV AS shown FROM before b WHERE to_jsonb(b) ->> 'withdrawn_at' IS NULL),
            new_rows AS (SELECT to_jsonb(c) - TG_ARGV AS shown FROM changed c WHERE to_jsonb(c) ->> 'withdrawn_at' IS NULL)
        SELECT EXISTS (SELECT shown FROM new_rows EXCEPT SELECT shown FROM old_rows)
            OR EXISTS (SELECT shown FROM old_rows EXCEPT SELECT shown FROM new_rows) INTO is_change;
    ELSE
        is_change := EXISTS (SELECT FROM changed c WHERE to_jsonb(c) ->> 'withdrawn_at' IS NULL);
    END IF;
    IF is_change THEN
        INSERT INTO changes (kind, key) VALUES ('edge', '');
    END IF;
    RETURN NULL;
END
$$;

GRANT EXECUTE ON FUNCTION record_edge_change() TO PUBLIC;
RESET ROLE;
REVOKE CREATE ON SCHEMA public FROM nameplate_control;

DO $$
DECLARE
    of_table RECORD;
BEGIN
    FOR of_table IN VALUES
        ('trust', '{authorities}'::text[]),
        ('identities', '{serial,issuer,names,not_before}'),
        ('services', '{}'),
        ('service_choices', '{}'),
        ('client_auth', '{ca_until,crl_until,ca_warned,crl_warned}'),
        ('consumers', '{}')
    LOOP
        EXECUTE format('DROP TRIGGER edge_update ON %I', of_table.column1);
        EXECUTE format('CREATE TRIGGER edge_update AFTER UPDATE ON %I
            REFERENCING OLD TABLE AS before NEW TABLE AS changed FOR EACH STATEMENT
            EXECUTE FUNCTION record_edge_change(%s)', of_table.column1,
            (SELECT string_agg(quote_literal(name), ', ')
             FROM unnest(of_table.column2 || '{created_at,updated_at}'::text[]) AS name));
    END LOOP;
END
$$;

SET LOCAL ROLE nameplate_control;
REVOKE EXECUTE ON FUNCTION record_edge_change() FROM PUBLIC;
RESET ROLE;
