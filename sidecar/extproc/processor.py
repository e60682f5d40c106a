"""One request's headers by ext_proc: the bytes of a ProcessingRequest in, the finished ProcessingResponse out.

The decisions are those of ext_authz (sidecar.authz.policy). Envoy is to send, as envoy/ext_proc.yaml has it:
- of the headers `:authority` and `:path`;
- of the attributes `connection.requested_server_name`, always there then, and `connection.tls_version`, only there when
  the connection is TLS: one without it came to the plain listener, where nothing passes.

It never raises on a request, whatever its bytes: one that cannot be read, or that lacks or doubles a header, is refused
(403); one without the first attribute means that Envoy is configured wrongly (421).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from typing import Generic, TypeVar

from google.protobuf.message import DecodeError

from sidecar.authz import refusal
from sidecar.authz.answers import Answers, Edges
from sidecar.authz.policy import NOTHING, Names, Pending, Policy, Tokens
from sidecar.directory.entry import Entry
from sidecar.extproc import replies
from sidecar.wire.process_pb2 import ProcessingRequest

SERVICE = "envoy.service.ext_proc.v3.ExternalProcessor"

# Whatever the filter is called in Envoy's configuration.
FILTER = "envoy.filters.http.ext_proc"
SNI = "connection.requested_server_name"
TLS_VERSION = "connection.tls_version"

AUTHORITY = b":authority"
PATH = b":path"

_parse = ProcessingRequest.FromString

T = TypeVar("T")


class Processor(Generic[T]):
    """`finish`: the bytes of a ProcessingResponse → what the transport sends."""

    def __init__(self, names: Names, tokens: Tokens, edges: Edges, finish: Callable[[bytes], T]) -> None:
        self._policy = Policy(names, tokens, edges)
        self._answers = Answers(names, edges, replies.passed, replies.refused, finish)

    def check(self, request: bytes, absent: Set[Pending] = NOTHING) -> T | Pending:
        """`absent`: what a load has just found not to exist."""
        answers = self._answers
        try:
            message = _parse(request)
        except DecodeError:
            return answers.refused(refusal.UNREADABLE)
        host = path = None
        for header in message.request_headers.headers.headers:
            key = header.key
            if key == AUTHORITY:
                if host is not None:
                    return answers.refused(refusal.UNREADABLE)
                host = header.raw_value or header.value
            elif key == PATH:
                if path is not None:
                    return answers.refused(refusal.UNREADABLE)
                path = header.raw_value or header.value
        if host is None or path is None:
            return answers.refused(refusal.UNREADABLE)
        # What is not ASCII is no hostname, and stays none.
        name = host.decode("ascii", "replace")
        attributes = message.attributes[FILTER].fields
        if SNI not in attributes:
            return answers.refused(refusal.MISDIRECTED)
        if TLS_VERSION not in attributes:
            return answers.unless_pending(self._policy.plain(name, path, absent))
        sni = attributes[SNI].string_value
        answer = answers.hit(name, sni)
        if answer is not None:
            return answer
        decision = self._policy.secure(name, sni, absent)
        if isinstance(decision, Entry):
            return answers.passed(decision, name, sni, nothing_shown)
        return answers.unless_pending(decision)

    def unavailable(self) -> T:
        """The answer when what is pending could not be loaded."""
        return self._answers.unavailable()

    def stats(self) -> Mapping[str, int]:
        """Requests answered so far, by outcome."""
        return self._answers.stats()


def nothing_shown() -> tuple[bytes, bytes]:
    """ext_proc cannot be given the client's certificate, so a domain that requires one is served by ext_authz only."""
    return b"", b""
