CREATE TABLE tenants (
    id          UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    -- the label of the platform's own name for the tenant: <slug>.platform.io
    slug        VARCHAR(63) NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9]([a-z0-9-]*[a-z0-9])?$'),
    max_domains INT CHECK (max_domains >= 0),      -- by the tenant's plan; NULL: DOMAINS_MAX_PER_TENANT
    created_at  TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE TABLE custom_domains (
    id                 UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id          UUID NOT NULL REFERENCES tenants (id),
    hostname           VARCHAR(255) NOT NULL,
    verification_token TEXT NOT NULL,
    status             VARCHAR(50) NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'dns_check', 'verified', 'active', 'failed')),
    ssl_status         VARCHAR(50) NOT NULL DEFAULT 'none'
        CHECK (ssl_status IN ('none', 'validating', 'issued', 'expiring', 'renewed', 'error')),
    cert_expiry        TIMESTAMPTZ,
    failure_count      INT NOT NULL DEFAULT 0,
    metadata           JSONB NOT NULL DEFAULT '{}',
    created_at         TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at         TIMESTAMPTZ NOT NULL DEFAULT now(),

    deleted_at         TIMESTAMPTZ,
    verify_deadline    TIMESTAMPTZ NOT NULL,
    verified_by        TEXT CHECK (verified_by IN ('txt', 'cname')),
    -- what the last DNS look and the last attempt at a certificate found: {code, message, who, at, ...}
    dns_finding        JSONB,
    ssl_finding        JSONB,
    certificate_id     UUID
);
-- Uniqueness among live rows; also the lookup hostname → tenant.
CREATE UNIQUE INDEX idx_custom_domains_hostname ON custom_domains (hostname) WHERE deleted_at IS NULL;
CREATE INDEX idx_domains_ssl_pending ON custom_domains (ssl_status) WHERE ssl_status IN ('validating', 'expiring');
-- Domains that must have a job.
CREATE INDEX idx_domains_undecided ON custom_domains (id)
    WHERE deleted_at IS NULL AND status IN ('pending', 'dns_check', 'verified');
CREATE INDEX idx_domains_tenant ON custom_domains (tenant_id, created_at, id) WHERE deleted_at IS NULL;

-- Metadata only: the chain and the key are in Vault.
CREATE TABLE certificates (
    id            UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    domain_id     UUID NOT NULL REFERENCES custom_domains (id),
    serial        TEXT NOT NULL,             -- lower-case hexadecimal
    issuer        TEXT NOT NULL,
    fingerprint   TEXT NOT NULL,             -- SHA-256 of the leaf, lower-case hexadecimal
    not_before    TIMESTAMPTZ NOT NULL,
    not_after     TIMESTAMPTZ NOT NULL,
    vault_version INT NOT NULL,
    directory_url TEXT NOT NULL,
    ari_window    TSTZRANGE,
    created_at    TIMESTAMPTZ NOT NULL DEFAULT now(),
    revoked_at    TIMESTAMPTZ,
    UNIQUE (domain_id, fingerprint)
);
ALTER TABLE custom_domains ADD FOREIGN KEY (certificate_id) REFERENCES certificates (id);

CREATE TABLE challenges (
    token             TEXT PRIMARY KEY,
    domain_id         UUID NOT NULL REFERENCES custom_domains (id),
    key_authorization TEXT NOT NULL,
    expires_at        TIMESTAMPTZ NOT NULL,
    created_at        TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX idx_challenges_domain ON challenges (domain_id);

CREATE TABLE acme_accounts (
    directory_url TEXT PRIMARY KEY,
    account_url   TEXT NOT NULL,
    created_at    TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- An order is written down before it is sent (order_url IS NULL), so that a killed worker finds it again.
CREATE TABLE acme_orders (
    id            UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    domain_id     UUID NOT NULL REFERENCES custom_domains (id),
    directory_url TEXT NOT NULL,
    order_url     TEXT,
    state         TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'issued', 'failed')),
    problem       JSONB,
    created_at    TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at    TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX idx_acme_orders_open ON acme_orders (domain_id) WHERE state = 'open';

-- What was spent at a CA: one row an order, certificate or failed validation.
CREATE TABLE rate_ledger (
    id                BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    directory_url     TEXT NOT NULL,
    bucket            TEXT NOT NULL CHECK (bucket IN ('order', 'certificate', 'failed_validation')),
    registered_domain TEXT NOT NULL,
    hostname          TEXT NOT NULL,
    at                TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX idx_rate_ledger ON rate_ledger (directory_url, bucket, registered_domain, at);

-- One row a domain that has work to do: never two pieces of work on one domain at once.
CREATE TABLE jobs (
    domain_id   UUID PRIMARY KEY REFERENCES custom_domains (id),
    kind        TEXT NOT NULL CHECK (kind IN ('verify', 'obtain', 'revoke')),
    run_at      TIMESTAMPTZ NOT NULL DEFAULT now(),
    attempts    INT NOT NULL DEFAULT 0,
    asked       INT NOT NULL DEFAULT 0,      -- how often it was asked for: whoever settles must not undo a newer request
    lease_token UUID,
    lease_until TIMESTAMPTZ,
    leased_by   TEXT,
    created_at  TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX idx_jobs_due ON jobs (kind, run_at);

-- The change feed. xid lets a reader know a horizon below which nothing can appear any more.
CREATE TABLE changes (
    id   BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid  XID8 NOT NULL DEFAULT pg_current_xact_id(),
    kind TEXT NOT NULL CHECK (kind IN ('domain', 'tenant', 'challenge')),
    key  TEXT NOT NULL,                      -- hostname, slug or challenge token
    at   TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX idx_changes_xid ON changes (xid);

CREATE TABLE feed (
    only_row   BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (only_row),
    id         UUID NOT NULL DEFAULT gen_random_uuid(),
    pruned_xid XID8 NOT NULL DEFAULT '0'     -- changes of this transaction and before may be gone
);
INSERT INTO feed DEFAULT VALUES;

CREATE TABLE audit (
    id        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at        TIMESTAMPTZ NOT NULL DEFAULT now(),
    tenant_id UUID NOT NULL,
    domain_id UUID NOT NULL,
    hostname  TEXT NOT NULL,
    actor     TEXT NOT NULL,                 -- 'tenant:<subject>' or 'control:<replica>'
    action    TEXT NOT NULL,
    detail    JSONB NOT NULL DEFAULT '{}'
);
CREATE INDEX idx_audit_domain ON audit (domain_id, id);

CREATE TABLE outbox (
    id           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id    UUID NOT NULL,
    domain_id    UUID NOT NULL,
    event        TEXT NOT NULL,
    payload      JSONB NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL DEFAULT now(),
    delivered_at TIMESTAMPTZ
);
CREATE INDEX idx_outbox_waiting ON outbox (domain_id, id) WHERE delivered_at IS NULL;

CREATE TABLE idempotency_keys (
    tenant_id    UUID NOT NULL,
    key          TEXT NOT NULL,
    request_hash BYTEA NOT NULL,
    response     JSONB,
    created_at   TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, key)
);
CREATE INDEX idx_idempotency_age ON idempotency_keys (created_at);
