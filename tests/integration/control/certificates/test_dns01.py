"""Records of domains at their delegated names, on PostgreSQL and a real Knot: written, removed, and what is left."""

import asyncio
from datetime import UTC, datetime

import asyncpg
import dns.name
import pytest
from dns.rdatatype import RdataType

from control.certificates.dns01 import Dns01
from control.dns.authoritative import Authoritative, Patience
from control.dns.delegation import Delegation
from control.dns.outcome import Answer
from control.dns.resolver import Resolver
from control.dns.update import DnsUpdateError, Updater, tsig_key
from core.domain import COLUMNS, TABLES, Domain
from embedded.knot import ALGORITHM, KnotZone

ZONE = "acme.platform.test"
PATIENCE = Patience(whole=60, silent=60)


def dns01(pool, knot: KnotZone, resolver: Resolver | None = None, server: str | None = None) -> Dns01:
    key = tsig_key(knot.key.name, knot.key.secret, ALGORITHM)
    return Dns01(
        pool,
        ZONE,
        Updater(ZONE, Resolver.parse(server or knot.primary.address), lambda: key, timeout=5),
        Authoritative(ZONE, [], [Resolver.parse(address) for address in knot.addresses], PATIENCE),
        Delegation([resolver or Resolver.parse(knot.primary.address)], ZONE, lambda: datetime.now(UTC)),
    )


@pytest.fixture
async def knot(state_dir, dns_packages):
    async with KnotZone.start(state_dir, ZONE) as zone:
        yield zone


@pytest.fixture
def domain(pool, add_domain):
    """`await domain("a.example", of=other)` → the Domain, of the same tenant as `other`."""

    async def make(hostname: str, of: Domain | None = None) -> Domain:
        domain_id = await add_domain(hostname, job=None, status="verified")
        if of is not None:
            await pool.execute("UPDATE custom_domains SET tenant_id = $2 WHERE id = $1", domain_id, of.tenant_id)
        row = await pool.fetchrow(f"SELECT {COLUMNS} FROM {TABLES} WHERE d.id = $1", domain_id)
        return Domain.from_row(row)

    return make


async def values_at(knot: KnotZone, name: str) -> set[str]:
    outcome = await Resolver.parse(knot.primary.address).ask(dns.name.from_text(name), RdataType.TXT, 10)
    return {value.decode() for value in outcome.values} if isinstance(outcome, Answer) else set()


async def order(pool, domain: Domain, state: str = "open") -> None:
    await pool.execute(
        "INSERT INTO acme_orders (domain_id, directory_url, state) VALUES ($1, 'https://ca.test/dir', $2)",
        domain.id,
        state,
    )


async def grow_old(pool) -> None:
    await pool.execute("UPDATE acme_txt SET written_at = written_at - interval '1 hour'")


async def written_down(pool) -> int:
    return await pool.fetchval("SELECT count(*) FROM acme_txt")


async def test_values_are_published_and_removed(pool, knot, domain):
    shop = await domain("shop.mybrand.example")
    zone = dns01(pool, knot)
    assert zone.name(shop) == f"{shop.acme_label}.{ZONE}"
    for _ in range(2):
        await zone.publish(shop, ["one", "two"])
    assert await values_at(knot, zone.name(shop)) == {"one", "two"}
    for _ in range(2):
        await zone.remove(shop)
    assert await values_at(knot, zone.name(shop)) == set()
    assert await written_down(pool) == 0


async def test_what_earlier_runs_published_is_removed_too(pool, knot, domain):
    shop = await domain("shop.mybrand.example")
    await dns01(pool, knot).publish(shop, ["of a killed worker"])
    zone = dns01(pool, knot)
    await zone.publish(shop, ["now"])
    await zone.remove(shop)
    assert await values_at(knot, zone.name(shop)) == set()


async def test_a_wildcard_and_its_base_name_at_once_take_nothing_from_each_other(pool, knot, domain):
    base = await domain("mybrand.example")
    wildcard = await domain("*.mybrand.example", of=base)
    zone = dns01(pool, knot)
    assert zone.name(base) == zone.name(wildcard), "there is room for one CNAME"
    await asyncio.gather(zone.publish(base, ["base"]), zone.publish(wildcard, ["wildcard"]))
    assert await values_at(knot, zone.name(base)) == {"base", "wildcard"}
    await zone.remove(base)
    assert await values_at(knot, zone.name(base)) == {"wildcard"}
    await zone.remove(wildcard)
    assert await values_at(knot, zone.name(base)) == set()


async def test_a_value_that_another_domain_wrote_there_too_stays(pool, knot, domain):
    """As when a domain is deleted and added again, and the CA offers the same challenge."""
    old = await domain("mybrand.example")
    new = await domain("*.mybrand.example", of=old)
    zone = dns01(pool, knot)
    await zone.publish(old, ["same"])
    await zone.publish(new, ["same"])
    await zone.remove(old)
    assert await values_at(knot, zone.name(new)) == {"same"}
    await zone.remove(new)
    assert await values_at(knot, zone.name(new)) == set()


async def test_twenty_domains_at_once(pool, knot, domain):
    domains = [await domain(f"shop{n}.mybrand.example") for n in range(20)]
    zone = dns01(pool, knot)
    assert len({zone.name(one) for one in domains}) == 20

    async def whole(one: Domain) -> None:
        await zone.publish(one, [f"for {one.hostname}"])
        assert await values_at(knot, zone.name(one)) == {f"for {one.hostname}"}
        await zone.remove(one)
        assert await values_at(knot, zone.name(one)) == set()

    await asyncio.gather(*(whole(one) for one in domains))
    assert await written_down(pool) == 0


async def test_leftovers_go_when_their_order_is_over_and_not_before(pool, knot, domain):
    under_way, over, never = [await domain(f"{label}.mybrand.example") for label in ("one", "two", "three")]
    zone = dns01(pool, knot)
    for one in (under_way, over, never):
        await zone.publish(one, ["value"])
    await order(pool, under_way)
    await order(pool, over, "failed")
    assert await zone.clear() == 0, "they were written just now"
    await grow_old(pool)
    assert await zone.clear() == 2
    assert await values_at(knot, zone.name(under_way)) == {"value"}
    assert await values_at(knot, zone.name(over)) == await values_at(knot, zone.name(never)) == set()
    await pool.execute("UPDATE custom_domains SET deleted_at = now() WHERE id = $1", under_way.id)
    assert await zone.clear() == 1
    assert await written_down(pool) == 0


async def test_two_replicas_clear_side_by_side(pool, knot, domain):
    domains = [await domain(f"shop{n}.mybrand.example") for n in range(10)]
    zone, other = dns01(pool, knot), dns01(pool, knot)
    for one in domains:
        await zone.publish(one, ["value"])
    await grow_old(pool)
    assert sum(await asyncio.gather(zone.clear(), other.clear())) == 10
    for one in domains:
        assert await values_at(knot, zone.name(one)) == set()


async def test_a_value_that_is_published_again_while_leftovers_go_is_there_afterwards(pool, knot, domain):
    shop = await domain("shop.mybrand.example")
    zone = dns01(pool, knot)
    await order(pool, shop, "failed")
    for _ in range(10):
        await zone.publish(shop, ["value"])
        await grow_old(pool)
        await asyncio.gather(zone.clear(), zone.publish(shop, ["value"]))
        assert await values_at(knot, zone.name(shop)) == {"value"}
        assert await written_down(pool) == 1


async def test_what_cannot_be_removed_stays_written_down(pool, knot, domain, ports):
    shop = await domain("shop.mybrand.example")
    await dns01(pool, knot).publish(shop, ["value"])
    (dead,) = ports(1)
    away = dns01(pool, knot, server=f"127.0.0.1:{dead}")
    with pytest.raises(DnsUpdateError, match="cannot be reached"):
        await away.remove(shop)
    await grow_old(pool)
    assert await away.clear() == 0
    assert await written_down(pool) == 1
    assert await dns01(pool, knot).clear() == 0, "it has gone to the end of the queue"
    await grow_old(pool)
    assert await dns01(pool, knot).clear() == 1


async def test_what_is_not_sent_is_written_down_all_the_same(pool, knot, domain, ports):
    """The answer may be lost, and the record there."""
    shop = await domain("shop.mybrand.example")
    (dead,) = ports(1)
    with pytest.raises(DnsUpdateError):
        await dns01(pool, knot, server=f"127.0.0.1:{dead}").publish(shop, ["value"])
    assert await written_down(pool) == 1


async def test_records_of_a_zone_of_earlier_settings_are_crossed_out(pool, knot, domain):
    shop = await domain("shop.mybrand.example")
    await pool.execute("INSERT INTO acme_txt (domain_id, name, value) VALUES ($1, 'label.old.test', 'v')", shop.id)
    await dns01(pool, knot).remove(shop)
    assert await written_down(pool) == 0


async def test_labels_differ_by_tenant_and_host_and_last(pool, domain):
    first = await domain("mybrand.example")
    again_elsewhere = await domain("mybrand.example.org")
    with_wildcard = await domain("*.mybrand.example", of=first)
    assert len({first.acme_label, again_elsewhere.acme_label}) == 2
    assert with_wildcard.acme_label == first.acme_label
    await pool.execute("UPDATE custom_domains SET deleted_at = now() WHERE id = $1", first.id)
    again = await domain("mybrand.example", of=first)
    assert again.acme_label == first.acme_label, "the tenant's CNAME is still right"
    other = await domain("mybrand.example.net")
    await pool.execute("UPDATE custom_domains SET deleted_at = now() WHERE id = $1", again.id)
    taken_over = await domain("mybrand.example", of=other)
    assert taken_over.acme_label != first.acme_label, "another tenant's CNAME leads nowhere of his"


async def test_nobody_chooses_a_label_nor_reads_what_is_written(pool, database, domain):
    shop = await domain("shop.mybrand.example")
    await pool.execute("UPDATE custom_domains SET acme_label = $2 WHERE id = $1", shop.id, "0" * 32)
    assert await pool.fetchval("SELECT acme_label FROM custom_domains WHERE id = $1", shop.id) == shop.acme_label
    connection = await asyncpg.connect(database.api_dsn)
    try:
        for statement in (
            "SELECT * FROM acme_txt",
            f"UPDATE custom_domains SET acme_label = '{'0' * 32}'",
            "UPDATE tenants SET acme_secret = gen_random_uuid()",
            """CREATE TEMPORARY TABLE mine (tenant_id UUID, hostname TEXT, acme_label TEXT);
               CREATE TRIGGER t BEFORE INSERT ON mine FOR EACH ROW EXECUTE FUNCTION set_acme_label()""",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()
