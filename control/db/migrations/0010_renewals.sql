-- The scheduler of renewals reads the backlog from two fronts: what is longest due (idx_domains_renew), and what expires
-- first, whatever came due before it.
CREATE INDEX idx_domains_expiry ON custom_domains (cert_expiry, renew_at)
    WHERE deleted_at IS NULL AND status = 'active' AND ssl_status IN ('issued', 'renewed');

-- Renewals that were begun and are not over: they are kept to a small number, and each must have a job.
CREATE INDEX idx_domains_unfinished ON custom_domains (ssl_status, id)
    WHERE deleted_at IS NULL AND status = 'active' AND ssl_status IN ('validating', 'expiring', 'error');
