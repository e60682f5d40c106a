"""The talk with a CA about one order, from its challenges to its chain. It writes nothing down and knows no domain.

Everything here may be said twice: each step first asks the CA where the order stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from cryptography import x509

from control.acme.client import Client
from control.acme.order import Authorization, Challenge, Order
from control.acme.problems import BLANK, AcmeRefused, Meaning, Problem, explain
from control.certificates.key import PendingKey
from control.certificates.patience import Patience

NOT_OFFERED = Meaning(
    "challenge_type_not_offered", "The CA does not offer the challenge that this name needs.", "operator", True
)
# An order becomes invalid without a problem of its own when its time is over.
UNEXPLAINED = Problem(BLANK, "The order is invalid without a reason.")
# What CAs say of an order that they do not have, or not for this account.
NOT_THERE = frozenset({"", "malformed", "unauthorized"})


class OrderFailed(Exception):
    """The order is lost. `validation`: because an authorization failed."""

    def __init__(self, problem: Problem, meaning: Meaning, *, validation: bool = False) -> None:
        super().__init__(meaning.code)
        self.problem = problem
        self.meaning = meaning
        self.validation = validation


class Exchange:
    """`bound`: how long to wait for the CA to validate, and again to issue; then OutOfPatience.

    All methods raise OrderFailed, OutOfPatience, AcmeRefused and AcmeUnavailable.
    """

    def __init__(self, client: Client, hostname: str, key: PendingKey, bound: timedelta) -> None:
        self._client = client
        self._hostname = hostname
        self._key = key
        self._bound = bound

    async def recall(self, url: str) -> Order | None:
        """An order of an earlier run; None when the CA has forgotten it or its time is over."""
        try:
            order = await self._client.order(url)
        except AcmeRefused as refused:
            if refused.problem.name in NOT_THERE:
                return None
            raise
        if order.status == "invalid":
            failed = await self._why(order)
            if failed.problem == UNEXPLAINED:
                return None
            raise failed
        return order

    async def matches(self, url: str) -> Order | None:
        """The order, if it is for this name alone and can still end in a certificate for this key."""
        try:
            order = await self._client.order(url)
        except AcmeRefused as refused:
            if refused.problem.name in NOT_THERE:  # though it is in the CA's list
                return None
            raise
        if order.hostnames != {self._hostname}:
            return None
        if order.status == "valid":
            chain = x509.load_pem_x509_certificates((await self._client.chain(order)).encode())
            return order if self._key.fits(chain[0]) else None
        return order if order.status in ("pending", "ready") else None

    async def waiting(self, order: Order, kind: str) -> Sequence[tuple[Authorization, Challenge]]:
        """The authorizations to be validated, each with its challenge of the kind."""
        if order.status != "pending":
            return ()
        authorizations = [await self._client.authorization(url) for url in order.authorizations]
        return [(one, _offered(one, kind)) for one in authorizations if one.status == "pending"]

    async def answer(self, challenge: Challenge) -> None:
        if challenge.status != "pending":
            return
        try:
            await self._client.answer(challenge)
        except AcmeRefused as refused:
            # Answered before, by a run that was killed: the CA takes no second answer, and its verdict comes next.
            if refused.problem.name != "malformed":
                raise

    async def validated(self, order: Order) -> None:
        """Return once all authorizations are valid."""
        waiting = order.authorizations if order.status == "pending" else ()
        patience = Patience(self._bound)
        while waiting:
            asked = [await self._client.authorization(url) for url in waiting]
            for authorization in asked:
                if authorization.status not in ("pending", "valid"):
                    raise _validation_failed(authorization)
            waiting = tuple(one.url for one in asked if one.status == "pending")
            if waiting:
                await patience.pause(one.retry_after for one in asked)

    async def prepared(self, order: Order) -> Order:
        """The order once it is ready to be finalized, or further."""
        patience = Patience(self._bound)
        while True:
            now = await self._client.order(order.url)
            if now.status == "invalid":
                raise await self._why(now)
            if now.status != "pending":
                return now
            await patience.pause([now.retry_after])

    async def finalize(self, order: Order) -> Order:
        if order.status != "ready":
            return order
        return await self._client.finalize(order, self._key.signing_request(self._hostname))

    async def download(self, order: Order) -> str:
        """The chain, PEM, once the order is valid."""
        patience = Patience(self._bound)
        while order.status != "valid":
            if order.status == "invalid":
                raise await self._why(order)
            await patience.pause([order.retry_after])
            order = await self._client.order(order.url)
        return await self._client.chain(order)

    async def _why(self, order: Order) -> OrderFailed:
        """Why an order is invalid: one of its authorizations says it, or it does so itself."""
        for url in order.authorizations:
            authorization = await self._client.authorization(url)
            if authorization.status == "invalid":
                return _validation_failed(authorization)
        problem = order.problem or UNEXPLAINED
        return OrderFailed(problem, explain(problem, validating=True))


def _offered(authorization: Authorization, kind: str) -> Challenge:
    challenge = authorization.challenge(kind)
    if challenge is None:
        raise OrderFailed(Problem(NOT_OFFERED.code), NOT_OFFERED)
    return challenge


def _validation_failed(authorization: Authorization) -> OrderFailed:
    problem = authorization.problem or Problem(BLANK, f"The authorization is {authorization.status}.")
    return OrderFailed(problem, explain(problem, validating=True), validation=authorization.status == "invalid")
