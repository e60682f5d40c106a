"""What a CA answers when it does not do what it was asked (RFC 8555 section 6.7), and what that means here.

    AcmeError             `meaning`: the code, the sentence, who has to act
    ├── AcmeUnavailable   no answer, or one that is not ACME's: the CA is in trouble
    ├── AcmeRefused       a problem document (RFC 9457), kept as data
    └── AcmeMisconfigured not asked at all, because the operator's settings cannot be right

`explain` translates a problem: our stable code, a sentence, who has to act, and whether it counts as a failure of the
tenant's domain. What does not count is tried again for as long as it takes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Literal

from core.errors import NameplateError

URN = "urn:ietf:params:acme:error:"
BLANK = "about:blank"  # RFC 9457 section 4.2.1: no more than the HTTP status says

MAX_DETAIL = 500  # characters of the CA's own words that are kept
MAX_SUBPROBLEMS = 20

# CAs quote the key authorization they expected: token "." base64url(SHA-256 of the account key), RFC 8555 section 8.1.
# A hostname may look the same; what goes on after a dot is one.
_KEY_AUTHORIZATION = re.compile(r"[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{43}(?!\.?[A-Za-z0-9_-])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")

Who = Literal["tenant", "operator", "ca"]


@dataclass(frozen=True, slots=True)
class Problem:
    """`type`: a URN or `about:blank`. `detail`: the CA's words, without control characters and key authorizations."""

    type: str
    detail: str = ""
    status: int | None = None
    subproblems: tuple[Problem, ...] = ()

    @property
    def name(self) -> str:
        """`rateLimited` of `urn:ietf:params:acme:error:rateLimited`; empty for a type that is not ACME's."""
        return self.type.removeprefix(URN) if self.type.startswith(URN) else ""

    @classmethod
    def from_json(cls, fields: object, status: int | None = None, *, depth: int = 1) -> Problem:
        """Whatever a CA sent; never raises. `status`: the response's, if the document has none."""
        if not isinstance(fields, dict):
            return cls(BLANK, status=status)
        kind, detail, own, below = (fields.get(name) for name in ("type", "detail", "status", "subproblems"))
        return cls(
            type=_clean(kind) if isinstance(kind, str) and kind else BLANK,
            detail=_clean(detail) if isinstance(detail, str) else "",
            status=own if isinstance(own, int) and not isinstance(own, bool) else status,
            subproblems=tuple(cls.from_json(one, depth=depth - 1) for one in below[:MAX_SUBPROBLEMS])
            if isinstance(below, list) and depth
            else (),
        )

    def to_json(self) -> dict[str, Any]:
        fields: dict[str, Any] = {"type": self.type, "detail": self.detail, "status": self.status}
        if self.subproblems:
            fields["subproblems"] = [one.to_json() for one in self.subproblems]
        return fields


@dataclass(frozen=True, slots=True)
class Meaning:
    """`counts`: as a failure of the domain, which is paused after too many; others pass, or an operator acts.

    `outage`: it would meet every order at this CA alike, so another CA is better asked meanwhile.
    """

    code: str
    message: str
    who: Who
    counts: bool
    outage: bool = False


class AcmeError(NameplateError):
    """`retry_after`: what the CA asked for, if it did."""

    def __init__(self, meaning: Meaning, retry_after: timedelta | None = None) -> None:
        super().__init__(meaning.code, meaning.message)
        self.meaning = meaning
        self.retry_after = retry_after


class AcmeUnavailable(AcmeError):
    """Code: ca_unavailable."""

    def __init__(self, reason: str, retry_after: timedelta | None = None) -> None:
        message = f"The CA does not answer as it should ({reason})."
        super().__init__(Meaning("ca_unavailable", message, "ca", False, True), retry_after)


class AcmeRefused(AcmeError):
    """`meaning`: another than `explain` gives, where the request is known to be about something else."""

    def __init__(self, problem: Problem, retry_after: timedelta | None = None, meaning: Meaning | None = None) -> None:
        super().__init__(meaning or explain(problem), retry_after)
        self.problem = problem


class AcmeMisconfigured(AcmeError):
    """Codes: ca_profile_unknown, ca_eab_required, ca_eab_missing, ca_eab_unreadable."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(Meaning(code, message, "operator", False, True))


# Of the CA's attempt to validate a name (the `error` of a challenge), and of requests that concern the name itself.
NAME_PROBLEMS: Mapping[str, Meaning] = {
    "caa": Meaning("caa_forbids", "The domain's CAA records do not let this CA issue for it.", "tenant", True),
    "connection": Meaning(
        "challenge_unreachable", "The CA could not connect to the address that the name has in DNS.", "tenant", True
    ),
    "dns": Meaning("challenge_dns_failed", "The CA could not look the name up in DNS.", "tenant", True),
    "dnssec": Meaning("challenge_dns_failed", "The name's DNSSEC signatures do not hold for the CA.", "tenant", True),
    "incorrectResponse": Meaning(
        "challenge_wrong_answer", "The name leads to a server that is not this platform's.", "tenant", True
    ),
    "tls": Meaning("challenge_tls_failed", "The CA met a TLS error when it connected to the name.", "tenant", True),
    "rejectedIdentifier": Meaning("name_rejected", "The CA does not issue certificates for this name.", "tenant", True),
    "unsupportedIdentifier": Meaning("name_rejected", "The CA does not issue for names of this kind.", "tenant", True),
}

# In a challenge's error these speak of the name, in the answer to a request of the account.
VALIDATION_PROBLEMS: Mapping[str, Meaning] = {
    "unauthorized": Meaning(
        "challenge_wrong_answer", "The name leads to a server that is not this platform's.", "tenant", True
    ),
    "malformed": Meaning("challenge_refused", "The CA could not use what it found at the name.", "tenant", True),
}

REQUEST_PROBLEMS: Mapping[str, Meaning] = {
    # the CA is in trouble, or asks for patience
    "badNonce": Meaning("ca_unavailable", "The CA kept refusing its own nonces.", "ca", False, True),
    "rateLimited": Meaning(
        "ca_rate_limited", "A rate limit of the CA is reached; it will be tried later.", "ca", False
    ),
    "serverInternal": Meaning("ca_unavailable", "The CA reports an error of its own.", "ca", False, True),
    "orderNotReady": Meaning("ca_unavailable", "The CA says that the order is not ready yet.", "ca", False),
    # the platform's account or requests
    "accountDoesNotExist": Meaning("ca_account_unknown", "The CA does not know the platform's account.", "ca", False),
    "externalAccountRequired": Meaning(
        "ca_eab_required", "The CA asks for an external account binding.", "operator", False, True
    ),
    "userActionRequired": Meaning(
        "ca_terms_changed", "The CA wants its new terms to be agreed to.", "operator", False, True
    ),
    "invalidContact": Meaning("ca_account_refused", "The CA refuses the account's contact.", "operator", False, True),
    "unsupportedContact": Meaning(
        "ca_account_refused", "The CA refuses the account's contact.", "operator", False, True
    ),
    "unauthorized": Meaning(
        "ca_account_refused", "The CA does not let the platform's account do this.", "operator", False
    ),
    "badPublicKey": Meaning("ca_request_refused", "The CA does not accept the key.", "operator", False),
    "badSignatureAlgorithm": Meaning(
        "ca_request_refused", "The CA does not accept the signature algorithm.", "operator", False, True
    ),
    "badCSR": Meaning("ca_request_refused", "The CA does not accept the signing request.", "operator", False),
    "malformed": Meaning("ca_request_refused", "The CA calls the request malformed.", "operator", False),
    "alreadyRevoked": Meaning("already_revoked", "The certificate is revoked already.", "ca", False),
    "badRevocationReason": Meaning("ca_request_refused", "The CA does not accept the reason.", "operator", False),
    # RFC 9773 section 7.4; draft-ietf-acme-profiles
    "alreadyReplaced": Meaning("ca_already_replaced", "The CA has renewed this certificate before.", "ca", False),
    "invalidProfile": Meaning(
        "ca_profile_unknown", "The CA does not offer the certificate profile of the settings.", "operator", False, True
    ),
}

# An unknown type counts where it concerns the name, so that no domain is tried for ever.
UNKNOWN_VALIDATION = Meaning("challenge_refused", "The CA could not validate the name.", "tenant", True)
UNKNOWN_REQUEST = Meaning("ca_request_refused", "The CA refuses the request.", "operator", False)
SERVER_TROUBLE = Meaning("ca_unavailable", "The CA reports an error of its own.", "ca", False, True)
BUSY = Meaning("ca_unavailable", "The CA is busy and asks for patience.", "ca", False, True)


def explain(problem: Problem, *, validating: bool = False) -> Meaning:
    """`validating`: the problem is the error of a challenge or of an order, not the answer to a request."""
    if problem.name == "rateLimited" and problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
        return BUSY  # Let's Encrypt says it so; no limit of ours is reached
    tables = (NAME_PROBLEMS, VALIDATION_PROBLEMS, REQUEST_PROBLEMS) if validating else (NAME_PROBLEMS, REQUEST_PROBLEMS)
    # What the name itself is refused for may stand in the subproblems, below a "compound", a "malformed" or an unknown
    # type (RFC 8555 section 6.7.1).
    for table in tables:
        for one in (problem, *problem.subproblems):
            if meaning := table.get(one.name):
                return meaning
    if validating:
        return UNKNOWN_VALIDATION
    return SERVER_TROUBLE if problem.status is not None and problem.status >= 500 else UNKNOWN_REQUEST


def _clean(text: str) -> str:
    return _KEY_AUTHORIZATION.sub("[key authorization]", _CONTROL.sub(" ", text))[:MAX_DETAIL]
