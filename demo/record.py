"""`python -m demo.record ADDRESS NAME TYPE VALUE`: what a registrar's form does, in the demo's own DNS (RFC 2136)."""

from __future__ import annotations

import sys

import dns.name
import dns.query
import dns.rcode
from dns.update import UpdateMessage

TTL = 5
TIMEOUT = 5.0
ZONE_LABELS = 3  # mybrand.test and the root


def main() -> int:
    address, name, kind, value = sys.argv[1:]
    host, _, port = address.rpartition(":")
    owner = dns.name.from_text(name)
    update = UpdateMessage(owner.split(ZONE_LABELS)[1])
    update.replace(owner, TTL, kind, f"{value.rstrip('.')}." if kind == "CNAME" else value)
    code = dns.query.tcp(update, host, timeout=TIMEOUT, port=int(port)).rcode()
    print(f"{name} {kind} {value}: {dns.rcode.to_text(code)}")
    return 0 if code == dns.rcode.NOERROR else 1


if __name__ == "__main__":
    sys.exit(main())
