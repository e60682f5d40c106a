"""What is answered in the upstream's place: a status, headers and a body for the client, and how it is counted.

Nothing here may be cached by a browser or a proxy: a name that is not configured now may be so in a minute, and a
permanent redirect to https would outlive the domain's stay on the platform. Envoy adds content-length, date and the
like, and leaves the body out for HEAD.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

# How soon a client may ask again when the sidecar could not find out, in seconds.
RETRY_AFTER = 5

HTML = "text/html; charset=utf-8"
TEXT = "text/plain; charset=utf-8"

PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>Domain not configured for this platform</title>
<style>
body { font: 1rem/1.5 system-ui, sans-serif; margin: 20vh auto 0; max-width: 36rem; padding: 0 1rem }
h1 { font-size: 1.4rem }
</style>
</head>
<body>
<h1>Domain not configured for this platform</h1>
<p>This address leads here, but no site has been set up for it. If it is yours, finish setting it up in your
account; a new domain can take a few minutes.</p>
</body>
</html>
"""


class Outcome(StrEnum):
    """How a check ended, for the metrics."""

    OK = "ok"
    NOT_CONFIGURED = "not_configured"
    MISDIRECTED = "misdirected"
    REDIRECTED = "redirected"
    CHALLENGE = "challenge"
    UNKNOWN_CHALLENGE = "unknown_challenge"
    UNREADABLE = "unreadable"
    UNAVAILABLE = "unavailable"
    CONNECTION_OK = "connection_ok"
    CONNECTION_REFUSED = "connection_refused"
    # Where a domain asks for client certificates.
    CLIENT_MISDIRECTED = "client_misdirected"
    CLIENT_CERTIFICATE_MISSING = "client_certificate_missing"
    CLIENT_CERTIFICATE_EXPIRED = "client_certificate_expired"
    CLIENT_CERTIFICATE_UNTRUSTED = "client_certificate_untrusted"
    CLIENT_CERTIFICATE_REVOKED = "client_certificate_revoked"
    CLIENT_CRL_STALE = "client_crl_stale"
    CLIENT_UNKNOWN = "client_unknown"
    CLIENT_HEADERS_TOO_LARGE = "client_headers_too_large"


@dataclass(frozen=True, slots=True)
class Refusal:
    """`headers`: names in lower case, each once; values printable ASCII. `body`: a key authorization, perhaps."""

    outcome: Outcome
    status: int
    headers: tuple[tuple[str, str], ...]
    body: str = field(repr=False)


def _refusal(outcome: Outcome, status: int, body: str, content_type: str, *headers: tuple[str, str]) -> Refusal:
    return Refusal(outcome, status, (("content-type", content_type), ("cache-control", "no-store"), *headers), body)


def redirect(location: str) -> Refusal:
    """308 keeps method and body (RFC 9110, 15.4.9). `location`: printable ASCII."""
    return _refusal(Outcome.REDIRECTED, 308, "", TEXT, ("location", location))


def challenge(key_authorization: str) -> Refusal:
    """RFC 8555, 8.3: the body is the key authorization; the media type is left open (octet-stream is its example)."""
    return _refusal(Outcome.CHALLENGE, 200, key_authorization, TEXT)


NOT_CONFIGURED = _refusal(Outcome.NOT_CONFIGURED, 404, PAGE, HTML)
UNKNOWN_CHALLENGE = _refusal(Outcome.UNKNOWN_CHALLENGE, 404, "There is no such ACME challenge here.\n", TEXT)
# RFC 9110, 15.5.20: the client may try again on a connection of its own for this host, and browsers do.
MISDIRECTED = _refusal(
    Outcome.MISDIRECTED, 421, "The certificate of this connection does not cover the requested host.\n", TEXT
)
UNREADABLE = _refusal(Outcome.UNREADABLE, 403, "The request could not be read.\n", TEXT)
UNAVAILABLE = _refusal(
    Outcome.UNAVAILABLE,
    503,
    "The service is not available at the moment.\n",
    TEXT,
    ("retry-after", str(RETRY_AFTER)),
)
# Nobody is shown this one: there is no request yet.
CONNECTION_REFUSED = _refusal(Outcome.CONNECTION_REFUSED, 403, "", TEXT)

# 421 where another connection of the same client may do: one for this very host, made once Envoy asks for certificates.
CLIENT_MISDIRECTED = _refusal(
    Outcome.CLIENT_MISDIRECTED, 421, "This host asks for client certificates, on a connection of its own.\n", TEXT
)
CLIENT_CERTIFICATE_MISSING = _refusal(
    Outcome.CLIENT_CERTIFICATE_MISSING, 421, "This host needs a client certificate, on a new connection.\n", TEXT
)
CLIENT_CERTIFICATE_EXPIRED = _refusal(
    Outcome.CLIENT_CERTIFICATE_EXPIRED, 403, "The client certificate is not valid now.\n", TEXT
)
CLIENT_CERTIFICATE_UNTRUSTED = _refusal(
    Outcome.CLIENT_CERTIFICATE_UNTRUSTED, 403, "The client certificate is of no authority that is trusted here.\n", TEXT
)
CLIENT_CERTIFICATE_REVOKED = _refusal(
    Outcome.CLIENT_CERTIFICATE_REVOKED, 403, "The client certificate was revoked.\n", TEXT
)
CLIENT_CRL_STALE = _refusal(
    Outcome.CLIENT_CRL_STALE, 403, "It is not known whether the client certificate was revoked.\n", TEXT
)
CLIENT_UNKNOWN = _refusal(Outcome.CLIENT_UNKNOWN, 403, "The client certificate is nobody's who is known here.\n", TEXT)
# RFC 6585, 5: of all headers together.
CLIENT_HEADERS_TOO_LARGE = _refusal(
    Outcome.CLIENT_HEADERS_TOO_LARGE,
    431,
    "The client certificate says more than a request's headers can carry.\n",
    TEXT,
)

# Those that are the same every time.
CONSTANT = (
    NOT_CONFIGURED,
    UNKNOWN_CHALLENGE,
    MISDIRECTED,
    UNREADABLE,
    UNAVAILABLE,
    CONNECTION_REFUSED,
    CLIENT_MISDIRECTED,
    CLIENT_CERTIFICATE_MISSING,
    CLIENT_CERTIFICATE_EXPIRED,
    CLIENT_CERTIFICATE_UNTRUSTED,
    CLIENT_CERTIFICATE_REVOKED,
    CLIENT_CRL_STALE,
    CLIENT_UNKNOWN,
    CLIENT_HEADERS_TOO_LARGE,
)
