"""Requests with a name that is no text.

Envoy asks for the SNI as its client wrote it, which may be any octets, and asks again on each new stream. By the schema
a name is text, so such a message cannot be read, with all other names in it: one client would end the secrets of all.
Nor can the name be answered, for Envoy cannot read it either: it is left out, and its handshake waits until Envoy's
own timeout.
"""

from __future__ import annotations

from typing import TypeVar

from google.protobuf.message import DecodeError

from sidecar.wire.discovery_pb2 import DeltaDiscoveryRequest, DeltaOctets, DiscoveryRequest, Octets, Status

R = TypeVar("R", DeltaDiscoveryRequest, DiscoveryRequest)


def read(kind: type[R], data: bytes) -> R:
    """Raises DecodeError when it is unreadable for another reason.

    A locator is a name, with parameters that choose between variants; of each resource there is one here.
    """
    try:
        request = kind.FromString(data)
    except DecodeError:
        request = kind.FromString(_text_only(kind, data))
    if isinstance(request, DeltaDiscoveryRequest):
        request.resource_names_subscribe.extend(each.name for each in request.resource_locators_subscribe)
        request.resource_names_unsubscribe.extend(each.name for each in request.resource_locators_unsubscribe)
    else:
        request.resource_names.extend(each.name for each in request.resource_locators)
    return request


def _text_only(kind: type[R], data: bytes) -> bytes:
    """Without the names, and the words of a rejection, that are no text."""
    request: DeltaOctets | Octets
    if kind is DeltaDiscoveryRequest:
        request = DeltaOctets.FromString(data)
        lists = [request.resource_names_subscribe, request.resource_names_unsubscribe]
    else:
        request = Octets.FromString(data)
        lists = [request.resource_names]
    for names in lists:
        names[:] = filter(_is_text, names)
    if request.HasField("error_detail") and not _is_status(request.error_detail):
        request.error_detail = b""  # a rejection all the same
    return request.SerializeToString()


def _is_text(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_status(data: bytes) -> bool:
    try:
        Status.FromString(data)
    except DecodeError:
        return False
    return True
