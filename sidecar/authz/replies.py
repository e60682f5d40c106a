"""The replies of ext_authz as finished bytes: an encoded `envoy.service.auth.v3.CheckResponse` each.

A denied reply is what the client gets, whole: Envoy adds content-length, date and the like, and leaves the body out for
HEAD. Nothing here may be cached by a browser or a proxy: a name that is not configured now may be so in a minute, and a
permanent redirect to https would outlive the domain's stay on the platform.

No reply sets `append`: with it, Envoy would add our x-tenant-id beside the client's own.
"""

from __future__ import annotations

from sidecar.wire.check_pb2 import CheckResponse

TENANT_HEADER = "x-tenant-id"
HOST_HEADER = "x-nameplate-host"

# google.rpc.Code, not an HTTP status: any code but 0 denies, and this one says why.
PERMISSION_DENIED = 7

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


def ok(tenant_id: str, hostname: str) -> bytes:
    """The request goes on to the upstream with the two headers of the routing contract, whatever the client sent."""
    response = CheckResponse()
    headers = response.ok_response.headers
    for key, value in ((TENANT_HEADER, tenant_id), (HOST_HEADER, hostname)):
        option = headers.add(append_action=CheckResponse.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD)
        option.header.key = key
        option.header.value = value
    return response.SerializeToString()


def denied(status: int, body: str, content_type: str, **extra: str) -> bytes:
    """`extra`: further headers, with _ for -."""
    response = CheckResponse()
    response.status.code = PERMISSION_DENIED
    response.denied_response.status.code = status
    response.denied_response.body = body
    headers = {"content-type": content_type, "cache-control": "no-store", **extra}
    for key, value in headers.items():
        option = response.denied_response.headers.add(
            append_action=CheckResponse.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
        )
        option.header.key = key.replace("_", "-")
        option.header.value = value
    return response.SerializeToString()


def redirect(location: str) -> bytes:
    """308 keeps method and body (RFC 9110, 15.4.9). `location`: printable ASCII."""
    return denied(308, "", TEXT, location=location)


def challenge(key_authorization: str) -> bytes:
    """RFC 8555, 8.3: the body is the key authorization; the media type is left open (octet-stream is its example)."""
    return denied(200, key_authorization, TEXT)


NOT_CONFIGURED = denied(404, PAGE, HTML)
UNKNOWN_CHALLENGE = denied(404, "There is no such ACME challenge here.\n", TEXT)
# RFC 9110, 15.5.20: the client may try again on a connection of its own for this host, and browsers do.
MISDIRECTED = denied(421, "The certificate of this connection does not cover the requested host.\n", TEXT)
UNREADABLE = denied(403, "The request could not be read.\n", TEXT)
UNAVAILABLE = denied(503, "The service is not available at the moment.\n", TEXT, retry_after=str(RETRY_AFTER))
