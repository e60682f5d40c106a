"""Renewal information, `replaces` and profiles (RFC 9773, draft-ietf-acme-profiles), at Pebble behind a front."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from control.acme.problems import AcmeError, AcmeMisconfigured, AcmeRefused, AcmeUnavailable
from core.certificate import ari_id

NAME = "shop.example.com"
NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


async def issued(client, **wishes) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.DNSName(NAME)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).add_extension(names, critical=False)
    order = await client.new_order(NAME, **wishes)
    for url in order.authorizations:
        authorization = await client.authorization(url)
        if authorization.status == "pending":
            await client.answer(authorization.challenge("http-01"))
    while order.status == "pending":
        await asyncio.sleep(0.05)
        order = await client.order(order.url)
    order = await client.finalize(order, csr.sign(key, hashes.SHA256()))
    while order.status != "valid":
        await asyncio.sleep(0.05)
        order = await client.order(order.url)
    return x509.load_pem_x509_certificates((await client.chain(order)).encode())[0]


async def test_a_certificate_is_renewed_by_a_second_one_that_replaces_it_once(front, authority):
    client = await authority(front).client()
    first = await issued(client)
    info = await client.renewal_info(first)
    lifetime = first.not_valid_after_utc - first.not_valid_before_utc
    assert first.not_valid_after_utc - lifetime / 2 < info.start < info.end < first.not_valid_after_utc
    assert info.retry_after == timedelta(hours=6)

    asked = []

    async def before_plain() -> None:
        asked.append(None)

    order = await client.new_order(NAME, replaces=ari_id(first), before_plain=before_plain)
    assert order.replaces == ari_id(first)
    assert asked == []
    await issued(client, replaces=ari_id(first))
    assert set(front.replaced) == {ari_id(first)}
    again = await client.new_order(NAME, replaces=ari_id(first), before_plain=before_plain)
    assert again.replaces is None
    assert asked == [None]


async def test_what_the_ca_says_is_read_and_its_wish_to_be_asked_again_is_bounded(front, authority):
    client = await authority(front).client()
    leaf = await issued(client)
    front.windows[ari_id(leaf)] = (NOW, NOW + timedelta(hours=2))
    for poll, expected in ((1, timedelta(minutes=1)), (7200, timedelta(hours=2)), (10**9, timedelta(days=1))):
        front.poll = poll
        info = await client.renewal_info(ari_id(leaf))
        assert (info.start, info.end) == (NOW, NOW + timedelta(hours=2))
        assert info.retry_after == expected


async def test_a_window_that_is_none_is_trouble_of_the_ca(front, authority):
    client = await authority(front).client()
    front.windows["a.b"] = (NOW, NOW)
    with pytest.raises(AcmeUnavailable):
        await client.renewal_info("a.b")


async def test_a_certificate_that_the_ca_does_not_know_has_no_renewal_information(front, authority):
    client = await authority(front).client()
    assert await client.renewal_info("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE") is None
    assert await client.renewal_info("../dir") is None


async def test_a_ca_without_renewal_information_gives_none_and_is_sent_no_replaces(trusting, authority):
    client = await authority(trusting).client()
    leaf = await issued(client)
    assert await client.renewal_info(leaf) is None
    paid = []

    async def before_plain() -> None:
        paid.append(None)

    assert (await client.new_order(NAME, replaces=ari_id(leaf), before_plain=before_plain)).replaces is None
    assert paid == [None]


async def test_an_order_whose_replaces_is_refused_is_sent_again_without_it(front, authority):
    client = await authority(front).client()
    for name, status in (
        ("alreadyReplaced", 409),
        ("malformed", 404),
        ("unauthorized", 403),
        ("conflict", 409),
        ("", 400),
    ):
        front.refuse("newOrder", name, status)
        order = await client.new_order(NAME, replaces="a.b")
        assert (order.status, order.replaces) == ("pending", None)


async def test_no_plain_order_is_sent_when_there_is_no_room_for_it(front, authority):
    class NoRoom(Exception):
        pass

    async def before_plain() -> None:
        raise NoRoom

    client = await authority(front).client()
    with pytest.raises(NoRoom):
        await client.new_order(NAME, replaces="a.b", before_plain=before_plain)
    assert [url async for page in client.order_urls() for url in page] == []


async def test_what_has_nothing_to_do_with_replaces_is_not_asked_twice(front, authority):
    client = await authority(front).client()
    for name in ("rateLimited", "caa", "rejectedIdentifier", "userActionRequired", "invalidProfile"):
        front.refuse("newOrder", name, 403)
        with pytest.raises(AcmeRefused) as refused:
            await client.new_order(NAME, replaces="a.b")
        assert refused.value.problem.name == name


async def test_a_profile_that_the_ca_lists_is_ordered_and_another_is_the_operators_mistake(front, authority):
    chosen = authority(front, profile="short")
    client = await chosen.client()
    assert list(chosen.meta.profiles) == ["classic", "short"]
    assert chosen.caa_identities == ("ca.example",)
    assert (await client.new_order(NAME, profile=chosen.profile)).status == "pending"
    with pytest.raises(AcmeMisconfigured) as refused:
        await client.new_order(NAME, profile="tlsserver")
    assert (refused.value.code, refused.value.meaning.who) == ("ca_profile_unknown", "operator")
    assert "classic, short" in str(refused.value)


async def test_a_profile_that_the_ca_has_dropped_since_is_the_same_mistake(front, authority):
    client = await authority(front).client()
    front.refuse("newOrder", "invalidProfile")
    with pytest.raises(AcmeRefused) as refused:
        await client.new_order(NAME, profile="short")
    assert (refused.value.code, refused.value.meaning.outage) == ("ca_profile_unknown", True)


async def test_the_settings_stand_above_what_the_directory_says_of_caa(front, authority):
    chosen = authority(front, caa_identities=["other.example"])
    await chosen.client()
    assert chosen.caa_identities == ("other.example",)


async def test_patience_that_the_ca_asks_for_is_read_from_the_header_and_not_from_the_text(front, authority):
    client = await authority(front).client()
    text = "too many certificates already issued, retry after 2036-01-01 00:00:00 UTC"
    for name, status, code, outage in (
        ("rateLimited", 429, "ca_rate_limited", False),
        ("rateLimited", 503, "ca_unavailable", True),
        ("", 503, "ca_unavailable", True),
        ("", 429, "ca_unavailable", True),
        ("serverInternal", 500, "ca_unavailable", True),
    ):
        front.refuse("newOrder", name, status, detail=text, retry_after="7")
        with pytest.raises(AcmeError) as refused:
            await client.new_order(NAME)
        assert (refused.value.code, refused.value.meaning.outage) == (code, outage)
        assert refused.value.retry_after == timedelta(seconds=7)
