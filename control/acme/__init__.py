"""ACME (RFC 8555): the account, signed requests, problems, orders. Nothing here knows a domain or a job."""
