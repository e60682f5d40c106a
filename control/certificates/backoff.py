"""How long to wait before a certificate is tried again. Jitter only lengthens: a CA's limits are upper bounds."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta

# After the n-th failure of a domain. A public CA allows five failed validations of a name in an hour.
FAILURES: Sequence[timedelta] = (
    timedelta(minutes=1),  #   0:01 after the first failure
    timedelta(minutes=5),  #   0:06
    timedelta(minutes=20),  #  0:26
    timedelta(hours=1),  #     1:26
    timedelta(hours=2),  #     3:26
    timedelta(hours=4),  #     7:26
    timedelta(hours=6),  #    13:26, and every six hours from here
)

# While the pre-flight finds that an order must fail. Nothing is spent by looking; the looks at the last step count as
# failures, so that a name nobody mends is paused after about three days.
PREFLIGHT: Sequence[timedelta] = (
    timedelta(seconds=30),
    timedelta(minutes=1),  #  0:01:30
    timedelta(minutes=5),  #  0:06:30
    timedelta(minutes=15),  # 0:21:30
    timedelta(hours=1),  #    1:21:30
    timedelta(hours=6),  #    7:21:30, and every six hours from here
)

# While a CA is in trouble or asks for patience, by how often the job was claimed.
CA_TROUBLE: Sequence[timedelta] = (
    timedelta(seconds=5),
    timedelta(seconds=15),
    timedelta(minutes=1),  #   0:01:20
    timedelta(minutes=5),  #   0:06:20
    timedelta(minutes=15),  #  0:21:20
    timedelta(hours=1),  #     1:21:20, and every hour from here
)

# While our own Vault is in trouble: nothing is spent by asking.
VAULT_TROUBLE: Sequence[timedelta] = (
    timedelta(seconds=1),
    timedelta(seconds=2),
    timedelta(seconds=5),  #   0:00:08
    timedelta(seconds=10),  #  0:00:18
    timedelta(seconds=30),  #  0:00:48, and every half minute from here
)

LONGEST_JITTER = 0.2  # of the delay


def delay(table: Sequence[timedelta], times: int) -> timedelta:
    """After the first, second, … time; the last entry stands for all that follow."""
    return table[min(max(times, 1), len(table)) - 1] * random.uniform(1.0, 1.0 + LONGEST_JITTER)  # noqa: S311 -- jitter
