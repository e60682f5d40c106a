"""What a client certificate costs a check, in µs: `PYTHONPATH=.:tests python -m scenes.client_costs`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

from cryptography import x509
from scenes import checks
from scenes.client_certificates import Authority, Leaf
from scenes.client_checks import HOST, MIDDLE, PLAIN, ROOT, Scene, auth, request

NAMES = [x509.DNSName("orders.test")]
ROUNDS, CHECKS, CLIENTS = 15, 3_000, 300


def leaf(authority: Authority, number: int = 0) -> Leaf:
    return authority.issue(f"CN=orders {number},O=Acme", NAMES)


def again(asked: bytes) -> Iterator[float]:
    """Checks whose answer is known, a round each."""
    checker = Scene(auth()).checker
    checker.check(asked)
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _ in range(CHECKS):
            checker.check(asked)
        yield (time.perf_counter() - started) / CHECKS * 1e6


def first(authority: Authority) -> Iterator[float]:
    """Checks of certificates that were never seen; too few for the tenant's allowance."""
    for beginning in range(0, CLIENTS, 50):
        checker = Scene(auth()).checker
        checker.check(request(leaf(ROOT, -1), HOST, HOST))  # which reads the domain's settings
        for number in range(beginning, beginning + 50):
            asked = request(leaf(authority, number), HOST, HOST)
            started = time.perf_counter()
            checker.check(asked)
            yield (time.perf_counter() - started) * 1e6


def main() -> None:
    measured = {
        "no certificate asked for": again(checks.check_request(PLAIN, b"/", PLAIN)),
        "known certificate": again(request(leaf(ROOT), HOST, HOST)),
        "known, with an intermediate": again(request(leaf(MIDDLE), HOST, HOST)),
        "new certificate": first(ROOT),
        "new, with an intermediate": first(MIDDLE),
    }
    for what, figures in measured.items():
        seen = list(figures)
        print(f"{what:30} best {min(seen):6.1f}   median {statistics.median(seen):6.1f}")


if __name__ == "__main__":
    main()
