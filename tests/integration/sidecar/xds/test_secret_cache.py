"""Certificates in memory, from a real Vault."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from scenes.entries import changed
from scenes.secrets import certificate_in

from core.certificate import CertificateError
from core.vault import certificate_path, sidecar_policy, upload_path
from sidecar.certs.secrets import SecretCache, version_of
from sidecar.certs.vault_answers import VaultNotFound


def path_of(entry):
    return certificate_path(UUID(entry.domain_id))


async def test_a_certificate_is_fetched_once_however_many_ask(room):
    entry = await room.add("shop.brand.test")
    before = await room.mount.read_count()
    loaded = await asyncio.gather(*(room.secrets.fetch(entry) for _ in range(60)))
    assert len({id(certificate) for certificate in loaded}) == 1
    assert await room.mount.read_count() == before + 1
    assert room.secrets.get(entry) is loaded[0]
    assert (room.secrets.fetches, room.secrets.failures) == (1, 0)


async def test_the_version_is_known_without_vault(room):
    entry = await room.add("shop.brand.test")
    assert (await room.secrets.fetch(entry)).version == version_of(entry.fingerprint, entry.vault_version)


async def test_the_secret_holds_the_pair_and_the_asked_name(room):
    entry = await room.add("shop.brand.test")
    certificate = await room.secrets.fetch(entry)
    read = certificate_in(certificate.secret("Shop.brand.test"))
    assert read.fingerprint == entry.fingerprint
    stored = (await room.vault.read(path_of(entry))).data
    assert (read.chain_pem, read.key_pem) == (stored["chain"], stored["key"])
    assert "PRIVATE" not in repr(certificate)
    assert "PRIVATE" not in repr(room.secrets._kept)


async def test_a_certificate_of_the_domain_that_had_the_name_before_does_not_stand_in(room):
    """Deleted, and registered by another tenant, while the sidecar could not read of either."""
    before = await room.add("shop.brand.test")
    await room.secrets.fetch(before)
    assert room.secrets.stale(await room.add("shop.brand.test")) is None


async def test_a_renewal_is_another_fetch_and_the_old_one_stays_until_then(room):
    entry = await room.add("shop.brand.test")
    old = await room.secrets.fetch(entry)
    renewed = await room.renew(entry)
    assert room.secrets.get(renewed) is None
    assert room.secrets.stale(renewed) is old
    new = await room.secrets.fetch(renewed)
    assert room.secrets.get(renewed) is new
    assert len(room.secrets) == 1


async def test_the_old_one_stays_when_the_new_one_is_not_fit(room):
    entry = await room.add("shop.brand.test")
    old = await room.secrets.fetch(entry)
    expired = await room.renew(entry, since=timedelta(days=-2), until=timedelta(days=-1))
    with pytest.raises(CertificateError, match="expired"):
        await room.secrets.fetch(expired)
    assert room.secrets.stale(expired) is old


async def test_an_unfit_certificate_is_read_once_in_a_while(room):
    entry = await room.add("shop.brand.test", "other.brand.test")
    before = await room.mount.read_count()
    for _ in range(20):
        with pytest.raises(CertificateError) as caught:
            await room.secrets.fetch(entry)
        assert caught.value.code == "certificate_wrong_name"
    assert await room.mount.read_count() == before + 1


async def test_a_key_of_another_certificate_is_refused(room):
    entry = await room.add("shop.brand.test")
    other = room.authority.issue("shop.brand.test", key=ec.generate_private_key(ec.SECP256R1()))
    good = room.authority.issue("shop.brand.test")
    mixed = {**good.to_vault(), "key": other.key_pem}
    answer = await room.mount.openbao.request("POST", f"{room.mount.path}/data/{path_of(entry)}", {"data": mixed})
    with pytest.raises(CertificateError) as caught:
        await room.secrets.fetch(changed(entry, vault_version=answer["data"]["version"]))
    assert caught.value.code == "certificate_key_mismatch"


async def test_a_destroyed_version_is_replaced_by_the_newest(room):
    entry = await room.add("shop.brand.test")
    newer = room.authority.issue("shop.brand.test")
    version = await room.store(path_of(entry), newer)
    await room.mount.openbao.request("PUT", f"{room.mount.path}/destroy/{path_of(entry)}", {"versions": [1]})
    loaded = await room.secrets.fetch(entry)
    assert loaded.facts.fingerprint == newer.fingerprint
    assert loaded.version == version_of(newer.fingerprint, version)
    assert room.secrets.get(entry) is loaded


async def test_the_version_announced_is_read_also_when_there_is_a_newer_one(room):
    entry = await room.add("shop.brand.test")
    await room.store(path_of(entry), room.authority.issue("shop.brand.test"))
    assert (await room.secrets.fetch(entry)).facts.fingerprint == entry.fingerprint


async def test_without_a_version_the_newest_is_read(room):
    entry = await room.add("shop.brand.test")
    loaded = await room.secrets.fetch(changed(entry, vault_version=None))
    assert loaded.facts.fingerprint == entry.fingerprint


async def test_a_certificate_that_is_not_there_is_an_error(room):
    entry = await room.add("shop.brand.test")
    await room.mount.openbao.request("DELETE", f"{room.mount.path}/metadata/{path_of(entry)}")
    with pytest.raises(VaultNotFound):
        await room.secrets.fetch(entry)
    assert room.secrets.failures == 1


async def test_a_fetch_goes_on_when_its_caller_gives_up(room, eventually):
    entry = await room.add("shop.brand.test")
    waiting = asyncio.create_task(room.secrets.fetch(entry))
    await asyncio.sleep(0)
    waiting.cancel()
    await eventually(lambda: room.secrets.get(entry) is not None)


async def test_a_hostname_forgotten_during_its_fetch_is_not_kept(room):
    entry = await room.add("shop.brand.test")
    waiting = asyncio.create_task(room.secrets.fetch(entry))
    await asyncio.sleep(0)
    room.secrets.forget("shop.brand.test")
    assert (await waiting).facts.fingerprint == entry.fingerprint
    assert room.secrets.get(entry) is None


async def test_no_more_certificates_are_kept_than_there_is_room_for(room):
    secrets = SecretCache(room.vault, capacity=3)
    entries = [await room.add(f"n{number}.brand.test") for number in range(5)]
    for entry in entries:
        await secrets.fetch(entry)
        secrets.get(entries[0])
    kept = [hostname for hostname, _ in secrets.expiries()]
    assert len(kept) == len(secrets) == 3
    assert "n0.brand.test" in kept


async def test_looking_at_them_all_makes_none_more_recently_used(room):
    secrets = SecretCache(room.vault, capacity=2)
    one, two, three = [await room.add(f"{name}.brand.test") for name in ("one", "two", "three")]
    await secrets.fetch(one)
    await secrets.fetch(two)
    secrets.get(one)
    assert len(list(secrets.expiries())) == 2
    await secrets.fetch(three)
    assert secrets.get(two) is None
    assert secrets.get(one) is not None


async def test_a_failure_that_is_remembered_holds_no_key(room):
    entry = await room.add("shop.brand.test", "other.brand.test")
    for _ in range(2):
        with pytest.raises(CertificateError):
            await room.secrets.fetch(entry)
    (failure,) = room.secrets._failed.values()
    assert (failure.__traceback__, failure.__cause__, failure.__context__) == (None, None, None)


async def test_the_end_of_validity_of_each_is_told(room):
    await room.store_platform()
    await room.platform.look()
    entry = await room.add("shop.brand.test")
    await room.secrets.fetch(entry)
    expiries = dict(room.service.expiries())
    assert expiries.keys() == {"*.platform.test", "shop.brand.test"}
    assert expiries["shop.brand.test"] == entry.not_after


async def test_an_uploaded_certificate_is_read_from_its_own_path(room):
    entry = await room.add("shop.example.com")
    managed = await room.secrets.fetch(entry)
    uploaded = await room.upload(entry)
    assert (entry.vault_version, uploaded.vault_version) == (1, 1), "the two are numbered apart"
    loaded = await room.secrets.fetch(uploaded)
    assert loaded.facts.fingerprint == uploaded.fingerprint != managed.facts.fingerprint
    assert room.secrets.get(entry) is None, "it is another certificate"
    assert (await room.secrets.fetch(entry)).facts.fingerprint == entry.fingerprint


async def test_the_same_leaf_uploaded_and_managed_has_two_versions(room):
    entry = await room.add("shop.example.com")
    certificate = (await room.vault.read(certificate_path(UUID(entry.domain_id)))).data
    await room.mount.openbao.request(
        "POST", f"{room.mount.path}/data/{upload_path(UUID(entry.domain_id))}", {"data": dict(certificate)}
    )
    uploaded = changed(entry, uploaded=True)
    managed, own = await room.secrets.fetch(entry), await room.secrets.fetch(uploaded)
    assert managed.facts.fingerprint == own.facts.fingerprint
    assert managed.version != own.version
    assert own.version == version_of(uploaded.fingerprint, uploaded.vault_version, uploaded=True)


async def test_a_withdrawn_certificate_that_is_destroyed_already_leads_to_the_managed_one(room):
    entry = await room.add("shop.example.com")
    announced = changed(entry, fingerprint="ab" * 32, vault_version=4, uploaded=True)
    loaded = await room.secrets.fetch(announced)
    assert loaded.facts.fingerprint == entry.fingerprint
    assert loaded.version == version_of(entry.fingerprint, entry.vault_version), "what the next change will announce"


async def test_an_uploaded_certificate_that_has_run_out_while_control_is_away_gives_way(room):
    entry = await room.add("shop.example.com")
    uploaded = await room.upload(entry, since=timedelta(days=-9), until=timedelta(days=-1))
    loaded = await room.secrets.fetch(uploaded)
    assert loaded.facts.fingerprint == entry.fingerprint
    assert room.secrets.get(uploaded) is None, "it is looked for again: somebody may have mended it"
    assert room.secrets.known(uploaded).trouble.code == "certificate_expired"


async def test_a_policy_that_does_not_know_of_uploads_leaves_the_managed_one(room):
    entry = await room.add("shop.example.com")
    uploaded = await room.upload(entry)
    policy, path = f"{room.mount.path}-sidecar", room.mount.path
    await room.mount.openbao.write_policy(policy, f'path "{path}/data/nameplate/certs/*" {{ capabilities = ["read"] }}')
    try:
        loaded = await room.secrets.fetch(uploaded)
        assert loaded.facts.fingerprint == entry.fingerprint
        assert room.secrets.known(uploaded).trouble.code == "vault_denied"
    finally:
        await room.mount.openbao.write_policy(policy, sidecar_policy(path))
    assert (await room.secrets.fetch(uploaded)).facts.fingerprint == uploaded.fingerprint


async def test_where_there_is_no_other_the_uploaded_ones_own_fault_is_said(room):
    entry = await room.add("shop.example.com")
    await room.mount.openbao.request("DELETE", f"{room.mount.path}/metadata/{path_of(entry)}")
    uploaded = await room.upload(entry, since=timedelta(days=-9), until=timedelta(days=-1))
    with pytest.raises(CertificateError) as refused:
        await room.secrets.fetch(uploaded)
    assert refused.value.code == "certificate_expired"
