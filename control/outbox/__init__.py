"""Telling people: from the rows of `outbox` to webhooks and mails, at least once, in order per domain and endpoint."""
