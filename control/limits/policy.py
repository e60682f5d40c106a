"""The limits of the CAs as data: one row a bucket. https://letsencrypt.org/docs/rate-limits/ (2026).

| bucket            | kept for          | full  | one comes back in | held back | spent by                | spared |
| ----------------- | ----------------- | ----- | ----------------- | --------- | ----------------------- | ------ |
| order             | the account       | 300   | 36 s              | 15        | an order                | yes    |
| certificate       | registered domain | 50    | 202 min           | 2         | an order                | yes    |
| exact_set         | the set of names  | 5     | 33.6 h            | 1         | an order                | no     |
| failed_validation | a name            | 5     | 12 min            | 1         | a failed authorization  | yes    |
| failures_in_row   | a name            | 1,152 | 1 day             | 152       | a failed authorization  | yes    |

Spared: an order that names what it replaces inside its window (RFC 9773) is never refused; the CA counts it for the
exact set all the same. A success empties `failures_in_row`. What is held back pays for the time between our counting
and the CA's: nine minutes for an order, almost seven hours until its certificate is issued; one attempt at a name
that is under way while another fails.

The CA counts a certificate when it is issued, and lets renewals of the same names past its first two limits. Here
they are counted with the order (one that fails gives it back), and always: never later, never less, than the CA does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from types import MappingProxyType
from typing import TypeAlias

from control.limits.gcra import Rate


class Scope(Enum):
    """What a bucket is kept for."""

    ACCOUNT = "account"
    REGISTERED_DOMAIN = "registered_domain"
    EXACT_SET = "exact_set"
    NAME = "name"


class Spent(Enum):
    BY_ORDER = "order"
    BY_FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Bucket:
    """`subject`: what is at its limit, in a sentence; {key} is the bucket's own.

    `counts_spared`: spent even by an order that is spared. `emptied_by_success`: of a validation.
    `of_certificates`: the CA counts certificates, so an order that ends without one is given back.
    """

    name: str
    scope: Scope
    rate: Rate
    spent: Spent
    code: str
    subject: str
    counts_spared: bool = False
    emptied_by_success: bool = False
    of_certificates: bool = False


Policy: TypeAlias = Sequence[Bucket]

ORDER = Bucket(
    "order",
    Scope.ACCOUNT,
    Rate(300, timedelta(hours=3) / 300, held_back=15),
    Spent.BY_ORDER,
    "limit_account_orders",
    "the platform's account at the CA",
)

LETSENCRYPT: Policy = (
    ORDER,
    Bucket(
        "certificate",
        Scope.REGISTERED_DOMAIN,
        Rate(50, timedelta(days=7) / 50, held_back=2),
        Spent.BY_ORDER,
        "limit_registered_domain",
        "registered domain {key}",
        of_certificates=True,
    ),
    Bucket(
        "exact_set",
        Scope.EXACT_SET,
        Rate(5, timedelta(days=7) / 5, held_back=1),
        Spent.BY_ORDER,
        "limit_exact_set",
        "the certificate for exactly {key}",
        counts_spared=True,
        of_certificates=True,
    ),
    Bucket(
        "failed_validation",
        Scope.NAME,
        Rate(5, timedelta(hours=1) / 5, held_back=1),
        Spent.BY_FAILURE,
        "limit_failed_validations",
        "failed validations of {key}",
    ),
    Bucket(
        "failures_in_row",
        Scope.NAME,
        Rate(1152, timedelta(days=1), held_back=152),
        Spent.BY_FAILURE,
        "limit_failures_in_row",
        "failures in a row of {key}",
        emptied_by_success=True,
    ),
)

# Of a CA of one's own, and of the tests': only what the CA itself says is obeyed.
NONE: Policy = ()

# An order that reaches the CA later after it was counted is counted anew before it is sent (half of what is held back).
COUNTED_FOR = ORDER.rate.interval * ORDER.rate.held_back / 2

POLICIES: Mapping[str, Policy] = MappingProxyType({"letsencrypt": LETSENCRYPT, "none": NONE})
