-- A tenant may pause a domain. `paused_from` is the ssl_status that it had, and has again when it is resumed.

ALTER TABLE custom_domains
    ADD COLUMN paused_from VARCHAR(50)
        CHECK (paused_from IN ('none', 'validating', 'issued', 'expiring', 'renewed', 'error')),
    ADD COLUMN warn_at     TIMESTAMPTZ,      -- when to look next whether a paused certificate is about to end
    ADD CONSTRAINT custom_domains_paused_check CHECK (paused_from IS NULL OR ssl_status = 'paused');
CREATE INDEX idx_domains_warn ON custom_domains (warn_at) WHERE deleted_at IS NULL AND warn_at IS NOT NULL;

-- A replica of the release before knows no pause but its own, and ends it as it always did.
CREATE FUNCTION end_pause() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    NEW.paused_from := NULL;
    NEW.warn_at := NULL;
    RETURN NEW;
END
$$;
CREATE TRIGGER end_pause BEFORE UPDATE OF ssl_status ON custom_domains FOR EACH ROW
    WHEN (OLD.ssl_status = 'paused' AND NEW.ssl_status <> 'paused') EXECUTE FUNCTION end_pause();

GRANT UPDATE (paused_from, warn_at) ON custom_domains TO nameplate_api;

-- As the workers' role, which sees every row: of those that are paused already nobody has been warned.
SET LOCAL ROLE nameplate_control;
UPDATE custom_domains SET warn_at = now() WHERE deleted_at IS NULL AND ssl_status = 'paused';
RESET ROLE;
