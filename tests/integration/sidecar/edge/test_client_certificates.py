"""Who passes where a domain asks for client certificates, and what the upstream is told of them."""

from __future__ import annotations

from cryptography import x509
from scenes.client_certificates import HOUR, NOW
from scenes.gate import FORGED, MIDDLE, OTHER, REFUSED, ROOT, identity

from api.client_auth import NewConsumer
from core.client_identity import fingerprint_of


async def test_only_who_has_a_certificate_of_the_authorities_passes_and_the_upstream_knows_who(gate, asked, becomes):
    host, domain = await gate.domain()
    await asked(host, domain)
    leaf = ROOT.issue("CN=orders,O=Acme", [x509.DNSName("orders.test")])
    await becomes(host, None, REFUSED)
    assert await gate.status(host, OTHER.issue()) == REFUSED
    assert await gate.status(host, ROOT.issue(since=NOW - 2 * HOUR, until=NOW - HOUR)) == REFUSED
    async with gate.client(host, leaf) as client:
        told = await client.told(host, FORGED)
    assert identity(told) == {
        "client-subject": "CN=orders,O=Acme",
        "client-san": "dns:orders.test",
        "client-fingerprint": fingerprint_of(leaf.certificate),
    }
    assert "x-forwarded-client-cert" not in told
    assert told["x-tenant-id"] == str(gate.tenant)
    assert await gate.status(host, MIDDLE.below("Lower A", 3).issue()) == 200


async def test_who_need_not_have_one_passes_as_nobody(gate, asked, becomes):
    host, domain = await gate.domain()
    await asked(host, domain, mode="optional")
    await becomes(host, OTHER.issue(), REFUSED)
    async with gate.client(host) as client:
        assert identity(await client.told(host, FORGED)) == {}
    async with gate.client(host, ROOT.issue("CN=a")) as client:
        assert identity(await client.told(host, FORGED))["client-subject"] == "CN=a"
    async with gate.client("shop.test") as client:
        told = await client.told("shop.test", FORGED)
    assert identity(told) == {}
    assert "x-forwarded-client-cert" not in told


async def test_where_consumers_are_looked_up_only_they_pass(gate, asked, becomes):
    host, domain = await gate.domain()
    await asked(host, domain, lookup=True)
    leaf = ROOT.issue("CN=Orders,OU=x", [x509.UniformResourceIdentifier("spiffe://acme.test/orders")])
    await becomes(host, leaf, 403)
    async with gate.control() as control:
        wanted = NewConsumer("Bestellungen ä", "san", "uri:spiffe://acme.test/orders", ("one", "two, three"))
        consumer = await control.add_consumer(gate.caller, wanted)
        await becomes(host, leaf, 200)
        async with gate.client(host, leaf) as client:
            said = identity(await client.told(host))
            assert (said["consumer"], said["consumer-id"]) == ("Bestellungen%20%C3%A4", str(consumer.id))
            assert said["groups"] == "one,two%2C%20three"
            await control.delete_consumer(gate.caller, consumer.id)
            await becomes(host, leaf, 403)
            assert await client.status(host) == 403, "an open connection too"
