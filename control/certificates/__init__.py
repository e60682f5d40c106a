"""The life of a domain's certificate: obtained, seen by the sidecars, revoked."""
