"""Is a process of ours ready? For health checks in places without a shell or curl: `python -m cli.ready URL`.

Exit 0: it said 200; 1: it did not, and what it said is printed. The standard library only: a look every few seconds
must cost next to nothing.
"""

from __future__ import annotations

import sys
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

PATIENCE = 4.0  # seconds; a health check is given five
SHOWN = 1000  # octets


def main(url: str) -> int:
    """`url`: http://HOST:PORT/PATH; of a name, its first address."""
    address = urlsplit(url)
    if address.scheme != "http" or address.hostname is None:
        print(f"nameplate: {url}: not http://HOST:PORT/PATH", file=sys.stderr)
        return 2
    connection = HTTPConnection(address.hostname, address.port, timeout=PATIENCE)
    try:
        connection.request("GET", address.path or "/")
        answer = connection.getresponse()
        said = answer.read(SHOWN).decode(errors="replace").strip()
    except (OSError, HTTPException) as error:
        print(f"{url}: {error or type(error).__name__}")
        return 1
    finally:
        connection.close()
    print(f"{answer.status} {said}")
    return 0 if answer.status == 200 else 1


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m cli.ready URL")
    sys.exit(main(sys.argv[1]))
