-- Who destroys a key in Vault says so first, and commits that: no transaction waits for Vault. Until the claim runs out
-- nobody begins to write under the same path, so a late answer of Vault destroys nothing that is needed.

ALTER TABLE upload_keys ADD COLUMN claimed_until TIMESTAMPTZ;
ALTER TABLE identities ADD COLUMN claimed_until TIMESTAMPTZ;
