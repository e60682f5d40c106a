"""The audit log as a chain of hashes: one a tenant, covered by checkpoints whose end is kept in Vault."""
