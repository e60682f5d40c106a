"""A DNS zone that can be edited while it is served, and the answer to a question about it.

This file does not know about packets, faults or sockets. RFC 1034 section 4.3.2 (the algorithm), RFC 2308
(negative answers carry the SOA), RFC 4592 (wildcards, empty non-terminals).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.rrset
from dns.name import Name
from dns.rdatatype import RdataType
from dns.rdtypes.ANY.TXT import TXT

# Short, so that an edit is seen by a resolver with a cache; not 0, which some treat as an error.
TTL = 1
NEGATIVE_TTL = 1
TXT_STRING_SIZE = 255  # RFC 1035 section 3.3

RecordSets = dict[RdataType, dns.rdataset.Rdataset]


@dataclass(slots=True)
class Zone:
    """Records of one zone, by owner name and type. A new zone holds its SOA and NS records."""

    origin: Name
    _names: dict[Name, RecordSets] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        server = f"ns.{self.origin}"
        self.add(self.origin, RdataType.SOA, f"{server} hostmaster.{self.origin} 1 3600 600 86400 {NEGATIVE_TTL}")
        self.add(self.origin, RdataType.NS, server)

    def add(self, name: Name, rdtype: RdataType, value: str, ttl: int = TTL) -> None:
        """Add one record; `value` is in presentation form, for TXT the text itself."""
        self.put(name, parse_rdata(rdtype, value), ttl)

    def put(self, name: Name, record: dns.rdata.Rdata, ttl: int = TTL) -> None:
        """Add one record; its time to live becomes that of its set."""
        self._store(name, record.rdtype, [*self.at(name).get(record.rdtype, ()), record], ttl)

    def discard(self, name: Name, record: dns.rdata.Rdata) -> None:
        """Remove one record; nothing happens when it is not there."""
        old = self.at(name).get(record.rdtype)
        if old is not None and record in old:
            left = [other for other in old if other != record]
            if left:
                self._store(name, record.rdtype, left, old.ttl)
            else:
                self.remove(name, record.rdtype)

    def _store(self, name: Name, rdtype: RdataType, records: Iterable[dns.rdata.Rdata], ttl: int) -> None:
        stored = dns.rdataset.Rdataset(dns.rdataclass.IN, rdtype, ttl=ttl)
        for record in records:
            stored.add(record, ttl)
        # Whole dictionaries are replaced, never edited, because another thread may be answering from them.
        self._names = {**self._names, name: {**self.at(name), rdtype: stored}}

    def remove(self, name: Name, rdtype: RdataType | None = None) -> None:
        """Remove a name, or its records of one type; nothing happens when there are none."""
        sets = self.at(name)
        kept = {} if rdtype is None else {kind: records for kind, records in sets.items() if kind != rdtype}
        names = {owner: records for owner, records in self._names.items() if owner != name}
        self._names = {**names, name: kept} if kept else names

    def at(self, name: Name) -> RecordSets:
        """The records that `name` itself has: no wildcard is looked at."""
        return self._names.get(name, {})

    def find(self, name: Name) -> RecordSets | None:
        """The records of `name`, maybe by a wildcard; empty for an empty non-terminal; None: no such name."""
        names = self._names
        if name in names:
            return names[name]
        if any(owner.is_subdomain(name) for owner in names):
            return {}
        for ancestor in _ancestors(name, self.origin):
            wildcard = names.get(dns.name.from_text("*", ancestor))
            if wildcard is not None:
                return wildcard
            if any(owner.is_subdomain(ancestor) for owner in names):
                return None  # the closest encloser exists and has no wildcard below it
        return None

    def soa(self) -> dns.rrset.RRset:
        """What a negative answer carries."""
        return rrset(self.origin, self._names[self.origin][RdataType.SOA])


def parse_rdata(rdtype: RdataType, value: str) -> dns.rdata.Rdata:
    """Record data from presentation form. A TXT value is the text, split into strings of 255 bytes."""
    if rdtype == RdataType.TXT:
        raw = value.encode()
        strings = [raw[i : i + TXT_STRING_SIZE] for i in range(0, len(raw), TXT_STRING_SIZE)] or [b""]
        return TXT(dns.rdataclass.IN, RdataType.TXT, strings)
    return dns.rdata.from_text(dns.rdataclass.IN, rdtype, value, origin=dns.name.root, relativize=False)


def rrset(name: Name, records: dns.rdataset.Rdataset) -> dns.rrset.RRset:
    """Records under an owner name (which for a wildcard is the name that was asked)."""
    return dns.rrset.from_rdata_list(name, records.ttl, list(records))


def _ancestors(name: Name, origin: Name) -> Iterator[Name]:
    while name != origin:
        name = name.parent()
        yield name
