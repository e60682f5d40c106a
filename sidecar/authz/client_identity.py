"""Whom a good client certificate stands for, as headers for the upstream. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import quote

from cryptography import x509

from core.certificate import UNREADABLE
from core.client_identity import fingerprint_of, groups_of, sans_of, subject_of
from sidecar.authz import refusal
from sidecar.authz.client import Client
from sidecar.authz.refusal import Refusal
from sidecar.edge.model import ClientAuth, Consumer

CONSUMER: Final = "x-nameplate-consumer"
CONSUMER_ID: Final = "x-nameplate-consumer-id"
GROUPS: Final = "x-nameplate-groups"
SUBJECT: Final = "x-nameplate-client-subject"
SAN: Final = "x-nameplate-client-san"
FINGERPRINT: Final = "x-nameplate-client-fingerprint"

# What stands for itself in a header: visible ASCII, but % and, in a list, the comma between two.
_VISIBLE: Final = "".join(map(chr, range(0x21, 0x7F))).replace("%", "")
_IN_LIST: Final = _VISIBLE.replace(",", "")


class Consumers:
    """A tenant's, by what they are looked up by."""

    def __init__(self, consumers: Iterable[Consumer]) -> None:
        self._known = {(each.kind, each.value): each for each in consumers}

    def find(self, names: Mapping[str, tuple[str, ...]], kinds: Iterable[str]) -> Consumer | None:
        """The first that a name belongs to: by the kinds in their order, then by the names of a kind in theirs."""
        texts = ((kind, text) for kind in kinds for text in names.get(kind, ()))
        return next((found for name in texts if (found := self._known.get(name)) is not None), None)


def identify(auth: ClientAuth, consumers: Consumers, certificate: x509.Certificate) -> Client | Refusal:
    """`certificate`: good already."""
    try:
        subject, fingerprint, sans = subject_of(certificate), fingerprint_of(certificate), sans_of(certificate)
        groups = None if auth.groups_from is None else groups_of(certificate, auth.groups_from)
    except UNREADABLE:
        return refusal.CLIENT_CERTIFICATE_UNTRUSTED
    consumer = None
    if auth.lookup:
        # An empty subject names nobody.
        names = {"san": sans, "subject": (subject,) if subject else (), "fingerprint": (fingerprint,)}
        consumer = consumers.find(names, auth.identity_by)
        if consumer is None:
            return refusal.CLIENT_UNKNOWN
    if groups is None:
        groups = () if consumer is None else consumer.groups
    said = {
        CONSUMER: "" if consumer is None else _escaped(consumer.name),
        CONSUMER_ID: "" if consumer is None else consumer.id,
        GROUPS: _list(groups),
        SUBJECT: _escaped(subject),
        SAN: _list(sans),
        FINGERPRINT: fingerprint,
    }
    return Client(tuple((key, value) for key, value in said.items() if value), consumer)


def _escaped(text: str) -> str:
    """Percent-encoded UTF-8, where it is not visible ASCII."""
    return quote(text, safe=_VISIBLE)


def _list(texts: Iterable[str]) -> str:
    return ",".join(quote(text, safe=_IN_LIST) for text in texts)
