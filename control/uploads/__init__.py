"""Certificates that tenants upload: kept in Vault, served before the managed ones, and followed to their end."""
