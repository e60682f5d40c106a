"""The CAs' limits in PostgreSQL: two replicas together, clocks that jump, the CA's own word."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from control.housekeeping import tidy
from control.limits.gcra import Rate
from control.limits.limits import UNLIMITED, LimitReached, Limits
from control.limits.policy import LETSENCRYPT, NONE, ORDER, Bucket, Scope, Spent

CA = "https://ca.test/directory"
OTHER_CA = "https://other.test/directory"
START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class Time:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **parts: float) -> None:
        self.now += timedelta(**parts)


@pytest.fixture
def time() -> Time:
    return Time()


def last_two_labels(hostname: str) -> str:
    return ".".join(hostname.split(".")[-2:])


@pytest.fixture
def limits(time: Time) -> Limits:
    return Limits(last_two_labels, now=time)


async def take(limits: Limits, pool: asyncpg.Pool[Any], *hostnames: str, exempt: bool = False, ca: str = CA) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await limits.take(connection, ca, hostnames, renewal_exempt=exempt)


async def takes(limits: Limits, pool: asyncpg.Pool[Any], *hostnames: str, exempt: bool = False) -> bool:
    try:
        await take(limits, pool, *hostnames, exempt=exempt)
    except LimitReached:
        return False
    return True


async def fail(limits: Limits, pool: asyncpg.Pool[Any], hostname: str) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await limits.failed_validation(connection, CA, hostname)


async def test_replicas_that_take_together_never_overspend(pool, other_pool) -> None:
    """Of many orders at once, in two processes' connections, with names that share buckets in every order."""
    small = (
        Bucket("order", Scope.ACCOUNT, Rate(40, timedelta(days=1)), Spent.BY_ORDER, "limit_account_orders", "it"),
        Bucket("certificate", Scope.REGISTERED_DOMAIN, Rate(7, timedelta(days=1)), Spent.BY_ORDER, "limit", "{key}"),
    )
    names = [[f"a{n}.d{n % 5}.example", f"b{n}.d{(n * 3 + 1) % 5}.example"] for n in range(120)]

    def two_labels(hostname: str) -> str:
        return hostname.split(".", 1)[1]

    spent: Counter[str] = Counter()

    async def one(number: int) -> None:
        replica = Limits(two_labels, default=small)
        for attempt in range(2):
            try:
                await take(replica, (pool, other_pool)[(number + attempt) % 2], *names[number])
            except LimitReached:
                continue
            spent["orders"] += 1
            spent.update({two_labels(name) for name in names[number]})

    await asyncio.gather(*map(one, range(len(names))))  # a deadlock would raise
    assert spent["orders"] <= 40
    assert all(count <= 7 for domain, count in spent.items() if domain != "orders")
    assert sum(count == 7 for count in spent.values()) >= 1, "the limits were never reached, so nothing was tried"


async def test_all_replicas_together_spend_all_that_there_is(pool, other_pool) -> None:
    replicas = [Limits(last_two_labels) for _ in range(2)]
    done = await asyncio.gather(
        *(takes(replicas[n % 2], (pool, other_pool)[n % 2], f"shop.d{n}.example") for n in range(60)),
        *(takes(replicas[n % 2], (pool, other_pool)[n % 2], f"s{n}.brand.example") for n in range(60)),
    )
    assert all(done[:60]), "one registered domain each, and room for all"
    assert sum(done[60:]) == 48


async def test_a_registered_domain_at_its_limit_says_until_when_and_stops_no_other(limits, pool, time) -> None:
    for number in range(48):
        await take(limits, pool, f"shop{number}.mybrand.co")
    with pytest.raises(LimitReached) as caught:
        await take(limits, pool, "shop48.mybrand.co")
    reached = caught.value
    assert (reached.code, reached.bucket, reached.key) == ("limit_registered_domain", "certificate", "mybrand.co")
    assert reached.until == START + timedelta(days=7) / 50
    assert reached.message == "Registered domain mybrand.co: at the CA's limit until 2026-11-21 15:21 UTC."
    assert reached.who == "nobody"
    await take(limits, pool, "shop.other.co")
    time.now = reached.until
    await take(limits, pool, "shop48.mybrand.co")


async def test_a_refused_order_spends_nothing(limits, pool) -> None:
    for _ in range(4):
        await take(limits, pool, "shop.mybrand.co")
    before = await pool.fetch("SELECT * FROM rate_buckets ORDER BY bucket, key")
    with pytest.raises(LimitReached) as caught:
        await take(limits, pool, "shop.mybrand.co")
    assert caught.value.code == "limit_exact_set"
    assert await pool.fetch("SELECT * FROM rate_buckets ORDER BY bucket, key") == before


async def test_the_exact_set_is_the_names_and_not_their_order(limits, pool) -> None:
    for number in range(4):
        await take(limits, pool, *["a.mybrand.co", "b.mybrand.co"][:: (-1) ** number])
    assert not await takes(limits, pool, "b.mybrand.co", "a.mybrand.co", "a.mybrand.co")
    assert await takes(limits, pool, "a.mybrand.co")
    many = [f"name-number-{number}.mybrand.co" for number in range(100)]
    assert [await takes(limits, pool, *many) for _ in range(5)] == [True] * 4 + [False]


async def test_the_account_has_its_burst_and_then_one_order_in_36_seconds(limits, pool, time) -> None:
    assert await limits.room(pool, CA) == 285
    async with pool.acquire() as connection, connection.transaction():
        for number in range(285):
            await limits.take(connection, CA, [f"shop.d{number}.example"])
    assert await limits.room(pool, CA) == 0
    with pytest.raises(LimitReached) as caught:
        await take(limits, pool, "shop.late.example")
    assert (caught.value.code, caught.value.until) == ("limit_account_orders", START + timedelta(seconds=36))
    assert await limits.room(pool, CA, START + timedelta(seconds=36 * 3)) == 3
    assert await limits.room(pool, OTHER_CA) == 285
    time.pass_(seconds=36)
    await take(limits, pool, "shop.late.example")


async def test_failed_validations_stop_a_name_and_its_wildcard_until_one_comes_back(limits, pool, time) -> None:
    for _ in range(4):
        await take(limits, pool, "*.bad.example")
        await fail(limits, pool, "*.bad.example")
    with pytest.raises(LimitReached) as caught:
        await take(limits, pool, "bad.example")
    assert caught.value.code == "limit_failed_validations"
    assert caught.value.until == START + timedelta(minutes=12)
    await take(limits, pool, "good.bad.example")
    time.pass_(minutes=12)
    await take(limits, pool, "bad.example")


async def test_a_name_that_only_fails_is_stopped_before_the_ca_pauses_it_and_a_success_forgets(
    limits, pool, time
) -> None:
    async with pool.acquire() as connection, connection.transaction():
        for _ in range(1000):
            await limits.failed_validation(connection, CA, "bad.example")
    time.pass_(hours=2)
    with pytest.raises(LimitReached) as caught:
        await take(limits, pool, "bad.example")
    assert caught.value.code == "limit_failures_in_row"
    async with pool.acquire() as connection, connection.transaction():
        await limits.succeeded(connection, CA, "bad.example")
    await take(limits, pool, "bad.example")


async def test_an_order_in_its_window_is_never_stopped_and_counts_for_its_names_alone(limits, pool) -> None:
    for _ in range(4):
        await take(limits, pool, "shop.mybrand.co")
    room = await limits.room(pool, CA)
    for _ in range(10):
        await take(limits, pool, "shop.mybrand.co", exempt=True)
    assert await limits.room(pool, CA) == room
    assert not await takes(limits, pool, "shop.mybrand.co")
    for _ in range(5):
        await take(limits, pool, "www.mybrand.co", exempt=True)
    assert not await takes(limits, pool, "www.mybrand.co"), "the CA has counted those for the exact set"


async def test_an_order_that_failed_gives_back_what_only_certificates_are_counted_by(limits, pool, time) -> None:
    for number in range(48):
        await take(limits, pool, f"shop{number}.mybrand.co")
    room = await limits.room(pool, CA)
    async with pool.acquire() as connection, connection.transaction():
        await limits.not_issued(connection, CA, "shop0.mybrand.co")
        await limits.not_issued(connection, CA, "never.ordered.co")
    assert await limits.room(pool, CA) == room, "the CA has counted the order itself"
    assert await takes(limits, pool, "shop48.mybrand.co")
    assert not await takes(limits, pool, "shop49.mybrand.co")


async def test_an_order_outside_the_limits_gives_back_no_more_than_it_took(limits, pool) -> None:
    for number in range(48):
        await take(limits, pool, f"shop{number}.mybrand.co")
    for _ in range(4):
        await take(limits, pool, "shop0.mybrand.co", exempt=True)
    async with pool.acquire() as connection, connection.transaction():
        await limits.not_issued(connection, CA, "shop0.mybrand.co", renewal_exempt=True)
    assert not await takes(limits, pool, "shop48.mybrand.co")


async def test_a_ca_without_limits_has_none_but_its_word_is_obeyed(pool, time) -> None:
    limits = Limits(last_two_labels, {OTHER_CA: NONE}, now=time)
    for _ in range(10):
        await take(limits, pool, "shop.mybrand.co", ca=OTHER_CA)
    assert await limits.room(pool, OTHER_CA) == UNLIMITED
    assert await pool.fetchval("SELECT count(*) FROM rate_buckets") == 0
    async with pool.acquire() as connection, connection.transaction():
        await limits.refused_by_ca(connection, OTHER_CA, "shop.mybrand.co", "too many new orders", None)
    assert await limits.room(pool, OTHER_CA) == 0
    with pytest.raises(LimitReached):
        await take(limits, pool, "a.example", ca=OTHER_CA)


async def test_what_the_ca_refuses_is_not_sent_again_before_its_time(limits, pool, time) -> None:
    until = START + timedelta(days=2)
    detail = 'too many certificates (50) already issued for "mybrand.co" in the last 168h0m0s'
    async with pool.acquire() as connection, connection.transaction():
        assert await limits.refused_by_ca(connection, CA, "shop.mybrand.co", detail, until) == until
    for exempt in (False, True):
        with pytest.raises(LimitReached) as caught:
            await take(limits, pool, "www.mybrand.co", exempt=exempt)
        assert (caught.value.code, caught.value.until) == ("ca_rate_limited", until)
        assert "mybrand.co" in caught.value.message
    await take(limits, pool, "shop.other.co")
    await take(limits, pool, "www.mybrand.co", ca=OTHER_CA)
    time.now = until
    await take(limits, pool, "www.mybrand.co")


async def test_an_earlier_word_of_the_ca_that_reaches_further_stands(limits, pool) -> None:
    async with pool.acquire() as connection, connection.transaction():
        for hours in (3, 1):
            until = START + timedelta(hours=hours)
            await limits.refused_by_ca(connection, CA, "a.example", "too many new orders", until)
    with pytest.raises(LimitReached) as caught:
        await take(limits, pool, "a.example")
    assert caught.value.until == START + timedelta(hours=3)


async def test_a_clock_that_jumps_back_refills_nothing_and_one_that_jumps_far_ahead_stops_nothing(
    limits, pool, time
) -> None:
    async with pool.acquire() as connection, connection.transaction():
        for number in range(285):
            await limits.take(connection, CA, [f"shop.d{number}.example"])
    time.pass_(minutes=-30)
    assert not await takes(limits, pool, "a.example")
    time.pass_(minutes=30, seconds=36)
    assert await takes(limits, pool, "b.example")
    assert not await takes(limits, pool, "c.example"), "the half hour was given back a second time"
    time.pass_(days=400)
    assert await takes(limits, pool, "d.example")
    time.pass_(days=-400)
    assert await limits.room(pool, CA) > 200, "a clock that was wrong for a moment would stop us for a year"
    assert await takes(limits, pool, "e.example")


async def test_housekeeping_forgets_full_buckets_and_mends_those_of_a_wrong_clock(pool) -> None:
    now = datetime.now(UTC)
    rows = {
        "full.example": (now - timedelta(days=2), now - timedelta(days=2)),
        "used.example": (now + timedelta(hours=1), now),
        "wrong.example": (now + timedelta(days=370), now + timedelta(days=365)),
    }
    for key, (tat, clock) in rows.items():
        await pool.execute("INSERT INTO rate_buckets VALUES ($1, 'certificate', $2, $3, $4)", CA, key, tat, clock)
    assert await tidy(pool)
    left = {row["key"]: row for row in await pool.fetch("SELECT * FROM rate_buckets")}
    assert set(left) == {"used.example", "wrong.example"}
    assert left["used.example"]["tat"] == now + timedelta(hours=1)
    assert timedelta(days=4) < left["wrong.example"]["tat"] - now < timedelta(days=6)


async def test_the_limits_are_postgresqls_time_when_nobody_says_another(pool) -> None:
    limits = Limits(last_two_labels)
    await take(limits, pool, "a.example")
    clock = await pool.fetchval("SELECT clock FROM rate_buckets WHERE bucket = 'order'")
    assert clock <= await pool.fetchval("SELECT clock_timestamp()")
    assert await limits.room(pool, CA) == 284


def test_the_account_is_what_room_is_about() -> None:
    assert ORDER in LETSENCRYPT
    assert [one for one in LETSENCRYPT if one.scope is Scope.ACCOUNT] == [ORDER]
