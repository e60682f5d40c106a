"""Updates of a zone on a real Knot, what it refuses, and the embedded server as a second implementation."""

import asyncio
import time
from contextlib import asynccontextmanager
from types import SimpleNamespace

import dns.message
import dns.name
import dns.tsig
import dns.update
import pytest
from dns.rcode import Rcode
from dns.rdatatype import RdataType

from control.dns.outcome import Answer, NoName
from control.dns.resolver import Resolver
from control.dns.update import MESSAGES, DnsUpdateError, Updater, tsig_key
from embedded.dns import DnsServer
from embedded.knot import ALGORITHM, KnotZone, TsigKey

ZONE = "acme.platform.test"
NAME = f"label.{ZONE}"


def updater(server: str, key: TsigKey, zone: str = ZONE, algorithm: str = ALGORITHM, timeout: float = 5) -> Updater:
    made = tsig_key(key.name, key.secret, algorithm)
    return Updater(zone, Resolver.parse(server), lambda: made, timeout)


async def values_at(server: str, name: str = NAME) -> set[bytes]:
    outcome = await Resolver.parse(server).ask(dns.name.from_text(name), RdataType.TXT, 5, recursive=False)
    assert isinstance(outcome, Answer | NoName), outcome
    return set(outcome.values) if isinstance(outcome, Answer) else set()


async def refused(updating: Updater, name: str = NAME) -> str:
    """The code of the refusal of an addition, which must leave nothing."""
    with pytest.raises(DnsUpdateError) as caught:
        await updating.add(name, ["value"])
    assert caught.value.who == "operator"
    assert caught.value.message and "{" not in caught.value.message
    return caught.value.code


async def test_values_stand_beside_each_other_and_go_one_by_one(knot):
    updating = updater(knot.primary.address, knot.key)
    await updating.add(NAME, ["one", "two"])
    await updating.add(NAME, ["three"])
    assert await values_at(knot.primary.address) == {b"one", b"two", b"three"}
    await updating.remove(NAME, ["one", "three"])
    assert await values_at(knot.primary.address) == {b"two"}
    await updating.remove(NAME, ["two"])
    assert await values_at(knot.primary.address) == set()


async def test_everything_may_be_repeated(knot):
    updating = updater(knot.primary.address, knot.key)
    await updating.remove(NAME, ["one"])
    for _ in range(2):
        await updating.add(NAME, ["one"])
    assert await values_at(knot.primary.address) == {b"one"}
    for _ in range(2):
        await updating.remove(NAME, ["one"])
    assert await values_at(knot.primary.address) == set()


async def test_updates_at_once_lose_nothing(knot):
    updating = updater(knot.primary.address, knot.key)
    await updating.add(NAME, ["stays"])
    await asyncio.gather(*(updating.add(NAME, [f"v{n}"]) for n in range(20)))
    assert await values_at(knot.primary.address) == {b"stays", *(f"v{n}".encode() for n in range(20))}
    await asyncio.gather(*(updating.remove(NAME, [f"v{n}"]) for n in range(20)))
    assert await values_at(knot.primary.address) == {b"stays"}


async def test_a_key_that_the_server_does_not_have_is_named(knot):
    unknown = updater(knot.primary.address, TsigKey.make("unknown"))
    assert await refused(unknown) == "dns_update_key_unknown"
    other_algorithm = updater(knot.primary.address, knot.key, algorithm="hmac-sha512")
    assert await refused(other_algorithm) == "dns_update_key_unknown"
    assert await values_at(knot.primary.address) == set()


async def test_a_key_that_may_do_nothing_is_refused(knot):
    assert await refused(updater(knot.primary.address, knot.stranger)) in {
        "dns_update_key_unknown",
        "dns_update_refused",
    }
    assert await values_at(knot.primary.address) == set()


async def test_a_name_that_the_key_may_not_change_is_refused(knot):
    updating = updater(knot.primary.address, knot.key)
    for name in (ZONE, "label.elsewhere.test"):
        assert await refused(updating, name) in {"dns_update_key_unknown", "dns_update_refused"}


async def test_another_secret_is_named(knot):
    wrong = updater(knot.primary.address, TsigKey.make(knot.key.name))
    assert await refused(wrong) == "dns_update_signature_wrong"
    assert await values_at(knot.primary.address) == set()


@pytest.mark.parametrize("offset", [-3600, 3600])
async def test_clocks_far_apart_are_named(knot, monkeypatch, offset):
    shifted = SimpleNamespace(time=lambda: time.time() + offset, monotonic=time.monotonic)
    monkeypatch.setattr("dns.message.time", shifted)
    monkeypatch.setattr("dns.renderer.time", shifted)
    assert await refused(updater(knot.primary.address, knot.key)) == "dns_update_clock_skew"
    monkeypatch.undo()
    assert await values_at(knot.primary.address) == set()


async def test_a_name_outside_and_a_zone_that_is_not_served_are_told_apart(knot):
    updating = updater(knot.primary.address, knot.owner)
    assert await refused(updating, "label.elsewhere.test") == "dns_update_not_in_zone"
    elsewhere = updater(knot.primary.address, knot.key, zone="elsewhere.test")
    assert await refused(elsewhere, "label.elsewhere.test") == "dns_update_not_authoritative"


async def test_a_secondary_is_not_the_primary(state_dir, dns_packages):
    async with KnotZone.start(state_dir, ZONE, secondaries=1) as zone:
        code = await refused(updater(zone.secondaries[0].address, zone.key))
        assert code in {"dns_update_key_unknown", "dns_update_refused", "dns_update_not_authoritative"}
        assert await values_at(zone.primary.address) == set()


async def test_a_server_that_is_not_there_or_silent_is_told(knot, ports):
    (free,) = ports(1)
    assert await refused(updater(f"127.0.0.1:{free}", knot.key)) == "dns_update_unreachable"
    async with listener(lambda reader, writer: reader.read()) as address:
        assert await refused(updater(address, knot.key, timeout=0.2)) == "dns_update_timeout"


async def test_an_answer_that_is_none_is_told(knot):
    async def garbage(reader, writer):
        await reader.read(2)
        writer.write(b"\0\x05hello")

    async with listener(garbage) as address:
        assert await refused(updater(address, knot.key)) == "dns_update_malformed"

    async def hang_up(reader, writer):
        await reader.read(2)

    async with listener(hang_up) as address:
        assert await refused(updater(address, knot.key)) == "dns_update_unreachable"


async def test_a_yes_that_is_not_signed_is_no_yes(knot):
    """Whoever can forge an answer cannot make us believe that the record is there."""

    async def agree(reader, writer):
        size = int.from_bytes(await reader.readexactly(2))
        query = await reader.readexactly(size)
        writer.write(b"\0\x0c" + query[:2] + bytes([0xA8, 0]) + bytes(8))

    async with listener(agree) as address:
        assert await refused(updater(address, knot.key)) == "dns_update_unsigned"


async def test_a_yes_that_somebody_else_signed_is_no_yes(knot):
    async def agree(reader, writer):
        size = int.from_bytes(await reader.readexactly(2))
        wire = await reader.readexactly(size)
        forged = dns.tsig.Key(knot.key.name, b"another secret", ALGORITHM)
        response = dns.message.Message(id=int.from_bytes(wire[:2]))
        response.flags = dns.flags.QR | dns.opcode.to_flags(dns.opcode.UPDATE)
        response.use_tsig(forged)
        writer.write(response.to_wire(prepend_length=True))

    async with listener(agree) as address:
        assert await refused(updater(address, knot.key)) == "dns_update_unsigned"


async def test_a_rotated_key_file_is_taken_up(knot, state_dir):
    file = state_dir / "secret"

    def read():
        return tsig_key(knot.key.name, file.read_text(), ALGORITHM)

    updating = Updater(ZONE, Resolver.parse(knot.primary.address), read)
    assert await refused(updating) == "dns_update_key_unreadable"
    file.write_text("not base64!")
    assert await refused(updating) == "dns_update_key_unreadable"
    file.write_text(knot.key.secret)
    await updating.add(NAME, ["value"])
    assert await values_at(knot.primary.address) == {b"value"}


async def test_the_embedded_server_understands_the_same_updates(dns_zone):
    """It takes none that are signed, so its rules are fed with the messages themselves."""
    async with DnsServer.start(updates=True) as server:
        server.add_zone(ZONE)
        for add, remove, left in [(["one", "two"], [], {b"one", b"two"}), ([], ["one"], {b"two"})]:
            message = dns.update.UpdateMessage(ZONE)
            for value in add:
                message.add(dns.name.from_text(NAME), 5, "TXT", value)
            for value in remove:
                message.delete(dns.name.from_text(NAME), "TXT", value)
            wire, _ = server.respond(message.to_wire(), udp=True)
            assert dns.message.from_wire(wire).rcode() == Rcode.NOERROR
            assert await values_at(server.address) == left


def test_every_code_has_a_sentence():
    from control.dns import update

    codes = {code for _, code in update.TROUBLES} | set(update.REFUSALS.values())
    assert codes <= set(MESSAGES)


@asynccontextmanager
async def listener(answer):
    """A TCP server that lets `answer(reader, writer)` say something, then hangs up."""

    async def serve(reader, writer):
        try:
            await answer(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        host, port = server.sockets[0].getsockname()
        yield f"{host}:{port}"
    finally:
        server.close()
