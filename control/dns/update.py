"""TXT records of the platform's own zone, written to its primary server by RFC 2136 and signed by TSIG (RFC 8945).

Both changes may be repeated: adding a value that is there, and removing one that is not, do nothing. Other values of
the same name stay as they are, because a wildcard shares its name with its base name.
"""

from __future__ import annotations

import asyncio
import binascii
from collections.abc import Callable, Mapping, Sequence

import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.tsig
from dns.message import Message
from dns.name import Name
from dns.rcode import Rcode
from dns.rdtypes.ANY.TXT import TXT
from dns.update import UpdateMessage

from control.dns.resolver import Resolver
from core.errors import NameplateError

TIMEOUT = 10.0  # seconds for an update, from the connection to the answer
# Seconds that resolvers may keep the record: a second attempt must not be answered with the first one's value.
TTL = 5

ALGORITHMS: Mapping[str, Name] = {
    "hmac-sha256": dns.tsig.HMAC_SHA256,
    "hmac-sha384": dns.tsig.HMAC_SHA384,
    "hmac-sha512": dns.tsig.HMAC_SHA512,
}

# code → the sentence, over {server} and {zone}. Whoever runs the platform must act.
MESSAGES: Mapping[str, str] = {
    "dns_update_timeout": "{server} did not answer an update of {zone} in time.",
    "dns_update_unreachable": "{server} cannot be reached for an update of {zone}.",
    "dns_update_malformed": "{server} answered an update of {zone} with something that cannot be read.",
    "dns_update_unsigned": "{server} answered an update of {zone} without a valid TSIG signature.",
    "dns_update_key_unreadable": "The TSIG key for updates of {zone} cannot be read: its file, or its base64.",
    "dns_update_key_unknown": "{server} does not know this TSIG key, or does not let it change this (BADKEY).",
    "dns_update_signature_wrong": "{server} finds the TSIG signature wrong: the secret is another one (BADSIG).",
    "dns_update_clock_skew": "The clocks of {server} and of this machine are too far apart for TSIG (BADTIME).",
    "dns_update_refused": "{server} refuses updates of {zone} with this TSIG key.",
    "dns_update_not_authoritative": "{server} is not the primary server of {zone} (NOTAUTH).",
    "dns_update_not_in_zone": "The name is not in the zone {zone} (NOTZONE).",
    "dns_update_failed": "{server} could not update {zone}: {rcode}.",
}

REFUSALS: Mapping[Rcode, str] = {
    Rcode.REFUSED: "dns_update_refused",
    Rcode.NOTAUTH: "dns_update_not_authoritative",
    Rcode.NOTZONE: "dns_update_not_in_zone",
}

# What dnspython makes of an answer's TSIG record; in this order: the first that fits.
TROUBLES: Sequence[tuple[type[dns.exception.DNSException], str]] = (
    (dns.tsig.PeerBadKey, "dns_update_key_unknown"),
    (dns.tsig.PeerBadTime, "dns_update_clock_skew"),
    (dns.tsig.BadTime, "dns_update_clock_skew"),
    (dns.tsig.PeerError, "dns_update_signature_wrong"),
    (dns.tsig.BadSignature, "dns_update_unsigned"),
    (dns.tsig.BadKey, "dns_update_unsigned"),
    (dns.tsig.BadAlgorithm, "dns_update_unsigned"),
    (dns.message.UnknownTSIGKey, "dns_update_unsigned"),
    (dns.exception.DNSException, "dns_update_malformed"),
)


class DnsUpdateError(NameplateError):
    """The platform's zone could not be changed, or its servers do not show it. `who` must act is the operator.

    Codes: those of MESSAGES, and of control.dns.authoritative.MESSAGES.
    """

    who = "operator"


class Updater:
    """`server`: the zone's primary. `key`: read at each update, so that a rotated file needs no restart; it may raise
    OSError and ValueError. `timeout`: seconds for one update.
    """

    def __init__(
        self, zone: str, server: Resolver, key: Callable[[], dns.tsig.Key], timeout: float = TIMEOUT, ttl: int = TTL
    ) -> None:
        self._zone = dns.name.from_text(zone)
        self._server = server
        self._key = key
        self._timeout = timeout
        self._ttl = ttl

    async def add(self, name: str, values: Sequence[str]) -> None:
        """Raises DnsUpdateError; then it may have happened all the same."""
        update = self._update()
        for value in values:
            update.add(_absolute(name), self._ttl, _txt(value))
        await self._send(update)

    async def remove(self, name: str, values: Sequence[str]) -> None:
        """Raises DnsUpdateError; then it may have happened all the same."""
        update = self._update()
        for value in values:
            update.delete(_absolute(name), _txt(value))
        await self._send(update)

    def _update(self) -> UpdateMessage:
        try:
            key = self._key()
        except (OSError, ValueError):
            raise self._error("dns_update_key_unreadable") from None
        update = UpdateMessage(self._zone)
        update.use_tsig({key.name: key}, key.name)
        return update

    async def _send(self, update: UpdateMessage) -> None:
        """Over TCP: an answer that is lost is told from one that does not come."""
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._exchange(update.to_wire(prepend_length=True))
        except TimeoutError:
            raise self._error("dns_update_timeout") from None
        except (OSError, EOFError):
            raise self._error("dns_update_unreachable") from None
        refusal = interpret(update, answer)
        if refusal is not None:
            raise self._error(*refusal)

    async def _exchange(self, message: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(self._server.address, self._server.port)
        try:
            writer.write(message)
            return await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
        finally:
            writer.close()

    def _error(self, code: str, rcode: str = "") -> DnsUpdateError:
        zone = self._zone.to_text(omit_final_dot=True)
        return DnsUpdateError(code, MESSAGES[code].format(server=self._server.name, zone=zone, rcode=rcode))


def interpret(update: UpdateMessage, wire: bytes) -> tuple[str, str] | None:
    """None: a signed answer says that it was done. Otherwise a code of MESSAGES and the rcode. Total: any bytes have
    a meaning. A refusal is believed without a signature, which a server that does not serve the zone cannot make.
    """
    try:
        answer = _read(update, wire)
    except dns.exception.DNSException as error:
        return next(code for kind, code in TROUBLES if isinstance(error, kind)), ""
    if not update.is_response(answer):
        return "dns_update_malformed", ""
    if answer.rcode() != Rcode.NOERROR:
        return REFUSALS.get(answer.rcode(), "dns_update_failed"), dns.rcode.to_text(answer.rcode())
    return None if answer.had_tsig else ("dns_update_unsigned", "")


def _read(update: UpdateMessage, wire: bytes) -> Message:
    try:
        return dns.message.from_wire(wire, keyring=update.keyring, request_mac=update.mac)
    except dns.exception.FormError:  # also for an answer without a signature
        return dns.message.from_wire(wire)


def tsig_key(name: str, secret: str, algorithm: str) -> dns.tsig.Key:
    """`secret`: base64. Raises ValueError, which does not show it. Never log the key: its text holds the secret."""
    try:
        raw = binascii.a2b_base64(secret.encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        raise ValueError("the TSIG secret is not base64") from None
    if not raw:
        raise ValueError("the TSIG secret is empty")
    return dns.tsig.Key(dns.name.from_text(name), raw, ALGORITHMS[algorithm])


def _absolute(name: str) -> Name:
    return dns.name.from_text(name)


def _txt(value: str) -> TXT:
    return TXT(dns.rdataclass.IN, dns.rdatatype.TXT, [value.encode()])
