"""Tickets of hand-over links: who may enter, how long, and nobody else."""

from __future__ import annotations

import base64
import json
import string
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.auth import MAX_SUBJECT, Operator, Principal
from api.ui.links import LIFETIME, Links
from api.ui.refusals import Refused

ORIGIN = "https://domains.platform.io"
URL_SAFE = string.ascii_letters + string.digits + "-_"
subjects = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=MAX_SUBJECT)
people = st.builds(Principal, st.uuids(), subjects) | st.builds(Operator, subjects)


@dataclass(slots=True)
class Keys:
    """`now`: this replica's. `fresh`: what lies in Vault."""

    now: bytes = b"k" * 32
    fresh: bytes = b"k" * 32
    looks: int = field(default=0)

    async def key(self) -> bytes:
        return self.now

    async def newer(self) -> bytes:
        self.looks += 1
        self.now = self.fresh
        return self.now


@dataclass(slots=True)
class Clock:
    at: datetime = datetime(2026, 4, 22, 2, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at


def ticket_of(url: str) -> str:
    parts = urlsplit(url)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{ORIGIN}/ui/enter"
    (ticket,) = parse_qs(parts.query, strict_parsing=True)["ticket"]
    return ticket


async def refusal(links: Links, ticket: str) -> str:
    with pytest.raises(Refused) as caught:
        await links.read(ticket)
    return caught.value.code


@given(people, st.none() | st.uuids())
async def test_who_goes_in_comes_out(who: Principal | Operator, domain: UUID | None) -> None:
    links = Links(Keys(), ORIGIN, Clock().now)
    link = await links.make(who, domain)
    found = await links.read(ticket_of(link.url))
    assert (found.who, found.domain) == (who, domain)
    assert len(link.url) < 3000


async def test_each_ticket_has_a_digest_of_its_own() -> None:
    links, who = Links(Keys(), ORIGIN, Clock().now), Operator("op")
    digests = {(await links.read(ticket_of((await links.make(who)).url))).digest for _ in range(10)}
    assert len(digests) == 10


async def test_a_ticket_is_good_for_a_minute() -> None:
    clock = Clock()
    links = Links(Keys(), ORIGIN, clock.now)
    link = await links.make(Operator("op"))
    assert link.expires_at == clock.at + LIFETIME
    clock.at += LIFETIME - timedelta(milliseconds=1)
    await links.read(ticket_of(link.url))
    clock.at += timedelta(milliseconds=1)
    assert await refusal(links, ticket_of(link.url)) == "ticket_expired"


async def test_no_bit_of_a_ticket_may_be_another() -> None:
    links = Links(Keys(), ORIGIN, Clock().now)
    ticket = ticket_of((await links.make(Principal(uuid4(), "alice"))).url)
    for place in range(0, len(ticket), 7):
        other = "A" if ticket[place] != "A" else "B"
        assert await refusal(links, ticket[:place] + other + ticket[place + 1 :]) == "ticket_forged"


async def test_a_ticket_has_one_spelling() -> None:
    links = Links(Keys(), ORIGIN, Clock().now)
    tickets = [ticket_of((await links.make(Principal(uuid4(), "alice"))).url) for _ in range(20)]
    for ticket in tickets:
        for other in (ticket + "=", ticket + "==", *(ticket[:-1] + last for last in URL_SAFE if last != ticket[-1])):
            assert await refusal(links, other) == "ticket_forged"
        if (plain := ticket.replace("-", "+").replace("_", "/")) != ticket:
            assert await refusal(links, plain) == "ticket_forged"


@given(st.text(max_size=200) | st.binary(max_size=100).map(lambda raw: base64.urlsafe_b64encode(raw).decode() + "."))
async def test_any_text_is_refused(text: str) -> None:
    assert await refusal(Links(Keys(), ORIGIN, Clock().now), text) == "ticket_forged"


async def test_a_tickets_tenant_cannot_be_exchanged() -> None:
    links = Links(Keys(), ORIGIN, Clock().now)
    body, _, signature = ticket_of((await links.make(Principal(uuid4(), "alice"))).url).partition(".")
    fields = json.loads(base64.urlsafe_b64decode(body + "=="))
    forged = base64.urlsafe_b64encode(json.dumps(fields | {"t": str(uuid4())}).encode()).rstrip(b"=").decode()
    assert await refusal(links, f"{forged}.{signature}") == "ticket_forged"


async def test_a_key_that_was_put_in_place_since_is_looked_up_once() -> None:
    keys = Keys(fresh=b"n" * 32)
    ours = Links(keys, ORIGIN, Clock().now)
    theirs = Links(Keys(now=b"n" * 32), ORIGIN, Clock().now)
    await ours.read(ticket_of((await theirs.make(Operator("op"))).url))
    await ours.read(ticket_of((await theirs.make(Operator("op"))).url))
    assert keys.looks == 1
