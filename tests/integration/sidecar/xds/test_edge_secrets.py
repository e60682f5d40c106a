"""The secrets of the edge on a real stream, by the same rules as those of hostnames; identities from a real Vault."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from scenes import secrets
from scenes.client_certificates import HOUR, NOW, pem
from scenes.edges import AUTHORITIES, BUNDLES, LISTS, change, client_auth, identity
from scenes.secrets import DeltaClient

from core.vault import identity_path
from sidecar.certs.identities import WantedIdentity
from sidecar.certs.secrets import version_of
from sidecar.edge.model import Edge
from sidecar.edge.secrets import encode
from sidecar.wire import discovery_pb2 as wire
from sidecar.xds.resources.messages import tls

DOMAIN = str(uuid4())


async def present(room, name="default", **shape):
    """An identity, in Vault and then in the edge."""
    certificate = room.authority.issue("client.platform.test", **shape)
    version = await room.store(identity_path(name), certificate)
    known = dict(room.edge.current.identities)
    change(room.edge, identities={**known, name: identity(name, certificate, version)})
    return certificate, version


def trust(room, **bundles):
    change(room.edge, trust={name: BUNDLES[number].encode() for name, number in bundles.items()})


def ask_clients(room, *numbers, crl=None, domain=DOMAIN):
    auth = client_auth(domain, "".join(BUNDLES[number] for number in numbers), crl)
    change(room.edge, client_auth={**room.edge.current.client_auth, domain: auth})


def context(said):
    """As Envoy's own schema has it: name, CA, CRL."""
    (resource,) = said.resources
    secret = tls.Secret.parse(wire.Any.FromString(resource).value)
    validation = secret.validation_context
    assert validation is not None
    assert secret.tls_certificate is None
    crl = validation.crl.inline_bytes if validation.crl is not None else None
    return secret.name, validation.trusted_ca.inline_bytes.decode(), crl.decode() if crl else None


async def test_a_bundle_is_a_validation_context(room, client):
    trust(room, default=0)
    await client.subscribe("upstream-ca/default")
    assert context(await client.read()) == ("upstream-ca/default", BUNDLES[0], None)


@pytest.mark.parametrize("crl", [None, LISTS[0]])
async def test_what_a_domain_asks_of_its_clients_is_a_validation_context(room, client, crl):
    ask_clients(room, 0, crl=crl)
    await client.subscribe(f"client-ca/{DOMAIN}")
    assert context(await client.read()) == (f"client-ca/{DOMAIN}", BUNDLES[0], crl)


async def test_an_identity_is_a_certificate_of_vault(room, client):
    certificate, version = await present(room)
    await client.subscribe("upstream/default")
    said = await client.read()
    assert said.certificate().fingerprint == certificate.fingerprint
    assert said.served == {"upstream/default": version_of(certificate.fingerprint, version)}


async def test_what_is_not_there_is_said_to_be_removed_and_pushed_when_it_comes(room, client):
    names = ["upstream/default", "upstream-ca/default", f"client-ca/{DOMAIN}", "client-ca/", "upstream/../platform"]
    await client.subscribe(*names)
    assert set((await client.read()).removed) == set(names)
    trust(room, default=1)
    assert list((await client.read()).served) == ["upstream-ca/default"]
    ask_clients(room, 1)
    assert list((await client.read()).served) == [f"client-ca/{DOMAIN}"]
    await present(room)
    assert list((await client.read()).served) == ["upstream/default"]


async def test_a_change_is_pushed_and_nothing_else_is(room, client):
    trust(room, default=0, other=1)
    ask_clients(room, 0)
    await present(room)
    names = ("upstream/default", "upstream-ca/default", "upstream-ca/other", f"client-ca/{DOMAIN}")
    await client.subscribe(*names)
    await client.read_until(lambda: len(client.held) == 4)

    change(room.edge, trust={**room.edge.current.trust, "default": BUNDLES[2].encode()})
    assert context(await client.read())[:2] == ("upstream-ca/default", BUNDLES[2])
    ask_clients(room, 0, crl=LISTS[0])
    assert context(await client.read()) == (f"client-ca/{DOMAIN}", BUNDLES[0], LISTS[0])
    ask_clients(room, 0, 1)  # a rotation with overlap
    assert context(await client.read()) == (f"client-ca/{DOMAIN}", BUNDLES[0] + BUNDLES[1], None)
    rotated, _ = await present(room)
    assert (await client.read()).certificate().fingerprint == rotated.fingerprint
    # What Envoy is not concerned with.
    (auth,) = room.edge.current.client_auth.values()
    change(room.edge, client_auth={DOMAIN: replace(auth, required=False)}, by_tenant={"t": "shop"})
    await client.nothing_is_said()


async def test_what_goes_is_removed_once_and_its_key_leaves_the_memory(room, client):
    trust(room, default=0)
    await present(room)
    await client.subscribe("upstream/default", "upstream-ca/default")
    await client.read_until(lambda: len(client.held) == 2)
    room.edge.replace(Edge())
    await client.read_until(lambda: not client.held)
    assert len(room.edge_secrets.identities) == 0
    await client.nothing_is_said()


async def test_a_client_that_reconnects_is_sent_only_what_it_does_not_have(room, client):
    trust(room, default=0, other=1)
    await present(room)
    names = ("upstream/default", "upstream-ca/default", "upstream-ca/other")
    await client.subscribe(*names)
    await client.read_until(lambda: len(client.held) == 3)
    trust(room, default=0, other=2)
    room.edge_secrets.identities.forget("upstream/default")
    reads = await room.mount.read_count()
    async with room.channel() as channel:
        again = DeltaClient(channel)
        await again.subscribe(*names, initial_resource_versions=client.held)
        assert list((await again.read()).served) == ["upstream-ca/other"]
        await again.nothing_is_said()
        again.close()
    assert await room.mount.read_count() == reads


async def test_many_clients_share_one_read_of_vault(room):
    await present(room)
    reads = await room.mount.read_count()
    async with room.channel() as channel:
        clients = [DeltaClient(channel) for _ in range(10)]
        for each in clients:
            await each.subscribe("upstream/default")
        for each in clients:
            assert (await each.read()).served
            each.close()
    assert await room.mount.read_count() == reads + 1


async def test_until_the_edge_is_loaded_a_client_keeps_what_it_has(room, client):
    """And a cold one is refused at once, and served when it is loaded."""
    room.edge.current = None  # as of a sidecar that has read nothing yet
    await client.subscribe("upstream-ca/held", initial_resource_versions={"upstream-ca/held": "v"})
    await client.subscribe("upstream-ca/cold")
    assert (await client.read()).removed == ("upstream-ca/cold",)
    assert room.service.counters.removed_unavailable == 1
    room.edge.replace(Edge(trust={"cold": BUNDLES[0].encode()}))
    said = [await client.read(), await client.read()]
    assert {name for one in said for name in one.served} == {"upstream-ca/cold"}
    assert [one.removed for one in said if one.removed] == [("upstream-ca/held",)]


async def test_what_a_stale_edge_does_not_have_is_not_taken_from_a_client(room, client):
    trust(room, default=0)
    await client.subscribe("upstream-ca/default")
    await client.read()
    room.directory.fresh_for(0)
    room.edge.replace(Edge())
    await client.nothing_is_said()
    room.directory.fresh_for(3600)
    await client.read_until(lambda: not client.held)


@pytest.mark.parametrize("shape", [{"until": timedelta(minutes=-1)}, {"since": timedelta(hours=1)}])
async def test_an_identity_that_is_not_valid_now_does_not_replace_one_that_is(room, client, shape):
    await client.subscribe("upstream/default")
    await client.read()
    await present(room, **shape)
    await client.nothing_is_said()  # a cold client has no use for it
    good, _ = await present(room)
    assert (await client.read()).certificate().fingerprint == good.fingerprint
    await present(room, **shape)
    await client.nothing_is_said()


async def test_a_rotation_that_vault_does_not_have_leaves_the_earlier_one_in_use(room, client):
    """Destroyed, or of a Vault that lags behind: also for a client that comes only now."""
    certificate, version = await present(room)
    await client.subscribe("upstream/default")
    await client.read()
    lost = room.authority.issue("client.platform.test")
    change(room.edge, identities={"default": identity("default", lost, version + 7)})
    await client.nothing_is_said()  # the newest that Vault has is the one that it had
    async with room.channel() as channel:
        cold = DeltaClient(channel)
        await cold.subscribe("upstream/default")
        assert (await cold.read()).certificate().fingerprint == certificate.fingerprint
        cold.close()


async def test_what_no_row_names_is_not_presented_though_it_is_the_newest_that_vault_has(room, client, eventually):
    """Written by somebody who was refused afterwards, so often that the one that is in force is gone."""
    certificate = room.authority.issue("client.platform.test")
    await room.store(identity_path("default"), room.authority.issue("client.platform.test"))
    await client.subscribe("upstream/default")
    await client.read()
    change(room.edge, identities={"default": identity("default", certificate, 7)})
    wanted = WantedIdentity.of(room.edge.current.identities["default"])

    async def looked() -> bool:
        return room.edge_secrets.identities.known(wanted).trouble is not None

    await eventually(looked)
    assert room.edge_secrets.identities.known(wanted).trouble.code == "certificate_not_announced"
    await client.nothing_is_said()
    version = await room.store(identity_path("default"), certificate)
    change(room.edge, identities={"default": identity("default", certificate, version)})
    await client.read_until(lambda: client.held.get("upstream/default") == version_of(certificate.fingerprint, version))


async def test_while_vault_is_away_the_earlier_one_is_used_and_the_new_one_comes_after(mortal_vault, state_dir):
    async with secrets.room(mortal_vault, state_dir) as room, room.channel() as channel:
        first, _ = await present(room)
        client = DeltaClient(channel)
        await client.subscribe("upstream/default")
        await client.read()
        rotated = room.authority.issue("client.platform.test")
        version = await room.store(identity_path("default"), rotated)
        await mortal_vault.openbao.seal()
        change(room.edge, identities={"default": identity("default", rotated, version)})
        await client.nothing_is_said()
        async with room.channel() as other_channel:
            cold = DeltaClient(other_channel)
            await cold.subscribe("upstream/default")
            assert (await cold.read()).certificate().fingerprint == first.fingerprint
            cold.close()
        await mortal_vault.openbao.unseal()
        await client.read_until(lambda: client.held["upstream/default"] == version_of(rotated.fingerprint, version))
        client.close()


def test_equal_contexts_have_one_version_and_others_another():
    once = encode("a", BUNDLES[0].encode(), None)
    assert once == encode("a", BUNDLES[0].encode(), None)
    other = {
        encode("b", BUNDLES[0].encode(), None).version,
        encode("a", BUNDLES[1].encode(), None).version,
        encode("a", BUNDLES[0].encode(), LISTS[0].encode()).version,
    }
    assert len({once.version, *other}) == 4
    assert AUTHORITIES[0].pem == BUNDLES[0]


async def test_a_list_that_went_stale_is_given_as_it_is(room, client):
    """Envoy refuses the clients of its authority then, which is what such a list is for."""
    stale = pem(AUTHORITIES[0].crl(since=NOW - 2 * HOUR, until=NOW - HOUR))
    ask_clients(room, 0, crl=stale)
    await client.subscribe(f"client-ca/{DOMAIN}")
    assert context(await client.read())[2] == stale
