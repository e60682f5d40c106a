"""What the pages need of PostgreSQL, Vault and the settings."""
