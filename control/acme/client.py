"""One account at one CA, for asyncio: each request runs in a thread, with a deadline.

All methods raise AcmeError, and nothing else.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar

from acme import messages
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from josepy.b64 import b64encode
from josepy.jwk import JWKEC

from control.acme.directory import Meta
from control.acme.network import CHAIN, Answer, Network
from control.acme.order import Authorization, Challenge, NotAcme, Order
from control.acme.problems import BLANK, AcmeMisconfigured, AcmeRefused, AcmeUnavailable
from control.acme.renewal_info import RenewalInfo
from core import trace
from core.certificate import ari_id

DEADLINE = 60.0  # seconds for a request with all its retries
# Of a certificate that the CA does not have, or not in this form.
NOT_KNOWN = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
# What CAs say of a certificate that they do not take as the one that is replaced.
UNREPLACED = frozenset({"", "alreadyReplaced", "conflict", "malformed", "unauthorized"})
RENEWAL_INFO = "renewalInfo"
ARI_ID = re.compile(r"[A-Za-z0-9_-]{1,200}\.[A-Za-z0-9_-]{1,200}")
MAX_CHAIN = 256 * 1024  # bytes; a chain of four P-384 certificates is below 8 KiB

T = TypeVar("T")


class Client:
    """`account_url`: known to the CA as that of `key`. `on_lost`: called, in any thread, when the CA does not know
    the account any more, or does not let it order."""

    def __init__(
        self,
        network: Network,
        key: JWKEC,
        account_url: str,
        deadline: float = DEADLINE,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self._network = network
        self._key = key
        self.account_url = account_url
        self._deadline = deadline
        self._on_lost = on_lost

    async def meta(self) -> Meta:
        """What the CA says of itself."""
        return (await self._call(self._network.directory, "directory")).meta

    def key_authorization(self, token: str) -> str:
        """RFC 8555 section 8.1. A secret until the name is validated; never in a log."""
        thumbprint = b64encode(self._key.thumbprint(hash_function=hashes.SHA256)).decode()
        return f"{token}.{thumbprint}"

    async def new_order(
        self,
        hostname: str,
        *,
        profile: str | None = None,
        replaces: str | None = None,
        before_plain: Callable[[], Awaitable[None]] | None = None,
    ) -> Order:
        """Some CAs answer with the same order while it is pending (section 7.4 lets them).

        `profile`: one that the CA lists, or AcmeMisconfigured. `replaces`: core.certificate.ari_id of the one that
        this is a renewal of (RFC 9773 section 5); a CA that does not offer it, or refuses it, is asked for a plain
        order. That one counts against the CA's limits: `before_plain` is awaited before it is sent, and may
        raise. `Order.replaces` says what the CA has taken.
        """
        directory = await self._call(self._network.directory, "directory")
        if profile is not None and profile not in directory.meta.profiles:
            listed = ", ".join(sorted(directory.meta.profiles)) or "none"
            raise AcmeMisconfigured(
                "ca_profile_unknown", f"The CA does not offer the profile {profile} (it offers: {listed})."
            )
        fields: dict[str, Any] = {"identifiers": [{"type": "dns", "value": hostname}]}
        if profile is not None:
            fields["profile"] = profile
        if replaces is not None and RENEWAL_INFO in directory.urls:
            try:
                return await self._call(lambda: self._ordered({**fields, "replaces": replaces}), "newOrder")
            except AcmeRefused as refused:
                if refused.problem.name not in UNREPLACED:
                    raise
        if replaces is not None and before_plain is not None:
            await before_plain()
        return await self._call(lambda: self._ordered(fields), "newOrder")

    async def renewal_info(self, certificate: x509.Certificate | str) -> RenewalInfo | None:
        """When the CA wants it to be renewed. None: the CA does not say such things, or not of this certificate.

        `certificate`: the leaf, or its core.certificate.ari_id.
        """
        identity = certificate if isinstance(certificate, str) else ari_id(certificate)

        def call() -> RenewalInfo | None:
            base = self._network.directory().urls.get(RENEWAL_INFO)
            if base is None or identity is None or not ARI_ID.fullmatch(identity):
                return None
            try:
                answer = self._network.get(f"{base.rstrip('/')}/{identity}")
            except AcmeRefused as refused:
                if refused.problem.status in NOT_KNOWN:
                    return None
                raise
            return RenewalInfo.from_json(answer.json(), answer.retry_after)

        return await self._call(call, "renewalInfo")

    async def order(self, url: str) -> Order:
        def call() -> Order:
            answer = self._post(url, None)
            return Order.from_json(answer.json(), url, answer.retry_after)

        return await self._call(call, "order")

    async def order_urls(self) -> AsyncIterator[tuple[str, ...]]:
        """The account's list of orders, a page at a time (section 7.1.2.1); nothing from a CA that keeps none."""
        page = await self._call(self._orders_url, "account")
        seen: set[str] = set()
        while page is not None and page not in seen:
            seen.add(page)
            try:
                urls, page = await self._call(partial(self._orders_page, page), "orders")
            except AcmeRefused as refused:
                if refused.problem.type != BLANK:
                    raise
                return  # OpenBao names a list that it does not serve, and says so without a problem document
            yield urls

    async def authorization(self, url: str) -> Authorization:
        def call() -> Authorization:
            answer = self._post(url, None)
            return Authorization.from_json(answer.json(), url, answer.retry_after)

        return await self._call(call, "authorization")

    async def answer(self, challenge: Challenge) -> None:
        """Let the CA validate (section 7.5.1)."""
        await self._call(lambda: self._post(challenge.url, {}), "challenge")

    async def finalize(self, order: Order, csr: x509.CertificateSigningRequest) -> Order:
        def call() -> Order:
            answer = self._post(order.finalize, messages.CertificateRequest(csr=csr).to_json())
            return Order.from_json(answer.json(), order.url, answer.retry_after)

        return await self._call(call, "finalize")

    async def chain(self, order: Order) -> str:
        """The certificate chain of a valid order, PEM (section 7.4.2)."""
        url = order.certificate
        if url is None:
            raise AcmeUnavailable("a valid order without a certificate")

        def call() -> str:
            body = self._network.post(url, None, self.account_url, accept=CHAIN).body
            if len(body) > MAX_CHAIN:
                raise AcmeUnavailable("a chain that is too long")
            return body.decode("ascii")

        return await self._call(call, "certificate")

    async def revoke(self, leaf: x509.Certificate, reason: int) -> None:
        """Signed with the account's key. `reason`: RFC 5280 section 5.3.1; left out for a CA that does not take it."""

        def call() -> None:
            url = self._network.url("revokeCert")
            request: dict[str, Any] = messages.Revocation(certificate=leaf, reason=reason).to_json()
            try:
                self._post(url, request)
            except AcmeRefused as refused:
                if refused.problem.name != "badRevocationReason":
                    raise
                del request["reason"]
                self._post(url, request)

        await self._call(call, "revokeCert")

    def _post(self, url: str, payload: Mapping[str, Any] | None) -> Answer:
        try:
            return self._network.post(url, payload, self.account_url)
        except AcmeRefused as refused:
            if refused.problem.name == "accountDoesNotExist":
                self._on_lost()
            raise

    def _ordered(self, fields: Mapping[str, Any]) -> Order:
        try:
            answer = self._post(self._network.url("newOrder"), fields)
        except AcmeRefused as refused:
            if refused.problem.name == "unauthorized" and "replaces" not in fields:
                self._on_lost()  # so that newAccount says whether the account is deactivated
            raise
        if answer.location is None:
            raise AcmeUnavailable("an order without a Location")
        return Order.from_json(answer.json(), answer.location, answer.retry_after)

    def _orders_url(self) -> str | None:
        account = self._post(self.account_url, None).json()
        url = account.get("orders") if isinstance(account, dict) else None
        return url if isinstance(url, str) else None

    def _orders_page(self, url: str) -> tuple[tuple[str, ...], str | None]:
        answer = self._post(url, None)
        page = answer.json()
        orders = page.get("orders") if isinstance(page, dict) else None
        if not isinstance(orders, list):
            raise NotAcme("a list of orders that is not one")
        return tuple(one for one in orders if isinstance(one, str)), answer.next_page

    async def _call(self, function: Callable[[], T], resource: str) -> T:
        """`resource`: as RFC 8555 section 7.1 names it."""
        with trace.span(f"acme {resource}", "client", **{"server.address": self._network.host}):
            return await in_thread(function, self._deadline)


async def in_thread(function: Callable[[], T], deadline: float = DEADLINE) -> T:
    """Run a request's function in a thread; what is not ACME's, or late, becomes AcmeUnavailable."""
    try:
        async with asyncio.timeout(deadline):
            return await asyncio.to_thread(function)
    except TimeoutError:
        raise AcmeUnavailable("deadline") from None
    except (NotAcme, UnicodeDecodeError) as error:
        raise AcmeUnavailable("an answer that is not ACME's") from error
