"""`… | python -m demo.field instructions.subdomain.value`: one member of a JSON document; without a name, all of it."""

from __future__ import annotations

import json
import sys


def main() -> int:
    found = json.load(sys.stdin)
    for name in sys.argv[1].split(".") if sys.argv[1:] else ():
        found = found[name]
    print(found if isinstance(found, str) else json.dumps(found, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
