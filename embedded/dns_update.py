"""What an RFC 2136 UPDATE does to a zone, or the response code that says why it does nothing.

This file does not know about packets, sockets or who may update. Nothing is done unless everything can be.

Two differences from RFC 2136: the serial of the SOA is not counted up (nobody transfers these zones), and dnspython
does not tell the TTL of a deletion or of a prerequisite without data, so that one is not checked to be 0.
"""

from __future__ import annotations

from collections.abc import Iterable

import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.serial
from dns.name import Name
from dns.rcode import Rcode
from dns.rdataclass import RdataClass
from dns.rdatatype import RdataType
from dns.rdtypes.ANY.SOA import SOA
from dns.rrset import RRset
from dns.update import UpdateMessage

from embedded.zone import Zone

SIGNATURES = {RdataType.RRSIG, RdataType.SIG}  # these zones are not signed
AT_APEX = {RdataType.SOA, RdataType.NS}  # what a zone always has (RFC 2136 section 3.4.2.3)


def founding_soa(message: UpdateMessage, origin: Name) -> RRset | None:
    """The SOA that an update adds at the top of the zone that it names."""
    for change in message.update:
        if (change.name, change.rdclass, change.rdtype, change.deleting) == (
            origin,
            RdataClass.IN,
            RdataType.SOA,
            None,
        ):
            return change
    return None


def apply(zone: Zone, message: UpdateMessage) -> Rcode:
    """Edit the zone and return NOERROR, or leave it as it is and return why."""
    rcode = _check_prerequisites(zone, message.prerequisite)
    if rcode == Rcode.NOERROR:
        rcode = _check_changes(zone, message.update)
    if rcode == Rcode.NOERROR:
        for change in message.update:
            _change(zone, change)
    return rcode


def _check_prerequisites(zone: Zone, prerequisites: Iterable[RRset]) -> Rcode:
    """RFC 2136 section 3.2.5."""
    wanted: dict[tuple[Name, RdataType], set[dns.rdata.Rdata]] = {}
    for condition in prerequisites:
        name, kind = condition.name, condition.rdtype
        if condition.ttl != 0 or condition.rdclass != RdataClass.IN:
            return Rcode.FORMERR
        if not name.is_subdomain(zone.origin):
            return Rcode.NOTZONE
        sets = zone.at(name)
        there = bool(sets) if kind == RdataType.ANY else kind in sets
        if condition.deleting == RdataClass.ANY and not there:
            return Rcode.NXDOMAIN if kind == RdataType.ANY else Rcode.NXRRSET
        if condition.deleting == RdataClass.NONE and there:
            return Rcode.YXDOMAIN if kind == RdataType.ANY else Rcode.YXRRSET
        if condition.deleting is None:
            wanted.setdefault((name, kind), set()).update(condition)
    for (name, kind), records in wanted.items():
        if set(zone.at(name).get(kind, ())) != records:
            return Rcode.NXRRSET
    return Rcode.NOERROR


def _check_changes(zone: Zone, changes: Iterable[RRset]) -> Rcode:
    """RFC 2136 section 3.4.1.3."""
    for change in changes:
        if not change.name.is_subdomain(zone.origin):
            return Rcode.NOTZONE
        if change.rdclass != RdataClass.IN:
            return Rcode.FORMERR
        whole_name = change.deleting == RdataClass.ANY and change.rdtype == RdataType.ANY
        if dns.rdatatype.is_metatype(change.rdtype) and not whole_name:
            return Rcode.FORMERR
        if change.deleting == RdataClass.NONE and change.ttl != 0:
            return Rcode.FORMERR
        if change.rdtype in SIGNATURES:
            return Rcode.REFUSED
    return Rcode.NOERROR


def _change(zone: Zone, change: RRset) -> None:
    """RFC 2136 section 3.4.2. What would break the zone is passed over in silence, as the section says."""
    name, kind = change.name, change.rdtype
    if change.deleting is None:
        if _may_add(zone, change):
            for record in change:
                zone.put(name, record, change.ttl)
    elif change.deleting == RdataClass.NONE:
        for record in change:
            last_ns = kind == RdataType.NS and name == zone.origin and len(zone.at(name).get(kind, ())) == 1
            if kind != RdataType.SOA and not last_ns:
                zone.discard(name, record)
    elif name != zone.origin:
        zone.remove(name, None if kind == RdataType.ANY else kind)
    else:
        for there in list(zone.at(name)) if kind == RdataType.ANY else [kind]:
            if there not in AT_APEX:
                zone.remove(name, there)


def _may_add(zone: Zone, change: RRset) -> bool:
    sets = zone.at(change.name)
    if change.rdtype == RdataType.CNAME:
        return not (sets.keys() - {RdataType.CNAME})
    if RdataType.CNAME in sets:
        return False
    if change.rdtype != RdataType.SOA:
        return True
    (new,) = change
    (old,) = sets.get(RdataType.SOA, (None,))
    if not isinstance(new, SOA) or not isinstance(old, SOA):
        return False
    return bool(dns.serial.Serial(new.serial) > dns.serial.Serial(old.serial))
