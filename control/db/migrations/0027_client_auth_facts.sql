-- What is in a domain's authorities and revocation lists, so that showing it does not mean reading half a megabyte of
-- them. Facts of core.trust.Authority and core.client_auth.Crl; none of what was stored before.
ALTER TABLE client_auth
    ADD COLUMN authorities JSONB NOT NULL DEFAULT '[]',
    ADD COLUMN crls        JSONB NOT NULL DEFAULT '[]';
GRANT INSERT (authorities, crls), UPDATE (authorities, crls) ON client_auth TO nameplate_api;
