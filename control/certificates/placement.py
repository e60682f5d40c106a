"""A job's order at its CA: the one under way, found again, or a new one.

A worker may have been killed between the CA's answer and the row's update: then the CA has an order that is written
down nowhere, and it is looked for before another one is sent.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

from control.acme.order import Order
from control.certificates.choice import Chosen
from control.certificates.exchange import Exchange
from control.certificates.ledger import Ledger
from control.certificates.orders import OpenOrder
from control.jobs import Job
from control.limits.policy import COUNTED_FOR
from core.domain import Domain

# Orders that are written down nowhere are those of workers killed in one moment; beyond these they are not ours.
MOST_UNRECORDED = 200


class Placement:
    """`on_step`: see control.certificates.obtain."""

    def __init__(self, ledger: Ledger, now: Callable[[], datetime], on_step: Callable[[str], None]) -> None:
        self._ledger = ledger
        self._now = now
        self._on_step = on_step

    async def of(self, job: Job, domain: Domain, chosen: Chosen, exchange: Exchange) -> Order:
        """The order under way, found again or new."""
        row, directory_url = chosen.row, chosen.authority.directory_url
        order = await self._found_again(chosen, exchange)
        if order is None and (row.url is not None or self._is_late(row)):
            await self._ledger.orders.close(job, {"type": "order_lost"}, give_back=True)
            row = await self._ledger.orders.open(job, directory_url, renewal_exempt=chosen.exempt)
        if order is None:
            order = await chosen.client.new_order(
                domain.hostname,
                profile=chosen.authority.profile,
                replaces=chosen.replaces,
                before_plain=partial(self._ledger.orders.spend, job, directory_url) if chosen.exempt else None,
            )
        self._on_step("order_sent")
        if row.url is None:
            await self._ledger.orders.sent(job, row, order.url)
        self._on_step("order_known")
        return order

    def _is_late(self, row: OpenOrder) -> bool:
        """It was counted so long ago that the CA would count it as another one."""
        return not row.fresh and self._now() - row.created_at > COUNTED_FOR

    async def _found_again(self, chosen: Chosen, exchange: Exchange) -> Order | None:
        row = chosen.row
        if row.url is not None:
            return await exchange.recall(row.url)
        if row.fresh:
            return None
        # Written down by a run that may have been killed between the CA's answer and the row's update.
        looked_at = 0
        async for urls in chosen.client.order_urls():
            for url in await self._ledger.orders.unrecorded(row.directory_url, urls):
                looked_at += 1
                if looked_at > MOST_UNRECORDED:
                    return None
                if order := await exchange.matches(url):
                    return order
        return None
