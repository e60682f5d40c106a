"""Words of the pages. Only data."""

from __future__ import annotations

from collections.abc import Mapping

# How far domains are, for filters and counts; what is said of a single one says more: the labels of api.ui.situation.
STATUS_WORDS: Mapping[str, str] = {
    "pending": "To be proven",
    "dns_check": "Being proven",
    "verified": "Proven",
    "active": "Live",
    "failed": "Stopped",
    "moved": "Moved away",
}

# What a page says after a form was taken: `?notice=` has the code, and never any text.
NOTICES: Mapping[str, str] = {
    "added": "The domain was added. Set the records below at your DNS provider.",
    "exists": "You had added this domain already.",
    "deleted": "The domain was deleted.",
    "checking": "The DNS is being checked now.",
    "nothing_to_do": "There is nothing to do: it is verified, or under way already.",
    "paused": "The domain is paused.",
    "resumed": "The domain is tried again.",
    "renewing": "The certificate is being renewed.",
    "uploaded": "Your certificate was taken.",
    "upload_withdrawn": "Your certificate was withdrawn; the managed one is used.",
    "retried": "The notification is being sent once more.",
    "client_auth_saved": "The client certificates were saved.",
    "client_auth_removed": "Clients are no longer asked for certificates.",
}
