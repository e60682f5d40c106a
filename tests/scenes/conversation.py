"""Random histories of a subscription against a small xDS client over a network that keeps order and may break.

The client is the specification's: it knows what it asked for, what it was told, and forgets what it unsubscribes from.
Whatever happened, when nothing is under way any more the client has exactly what there is.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter, deque

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sidecar.xds.subscription import (
    REMOVED,
    Received,
    Rejection,
    Response,
    Subscription,
)

TYPE = "type.googleapis.com/x"
NAMES = [f"{letter}.example" for letter in "abcd"]
names = st.sampled_from(NAMES)
some_names = st.lists(names, min_size=1, max_size=3)
# A client rejects versions that end in "!".
versions = st.sampled_from(["1", "2", "3", "bad!", "worse!"])


class Conversation(RuleBasedStateMachine):
    """The server side moves in the same steps as a stream: receive, settle a name, send, note that it was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.world: dict[str, str] = dict.fromkeys(NAMES[:3], "1")
        self.interest: dict[str, None] = {}
        self.has: dict[str, str] = {}
        self.connect()

    def connect(self) -> None:
        self.subscription = self.new_subscription()
        self.waiting: dict[str, None] = {}
        self.farewell: dict[str, None] = {}
        self.sending: Response | None = None
        self.to_server: deque[bytes] = deque()
        self.to_client: deque[bytes] = deque()
        self.nonces: set[str] = set()
        self.last_nonce = self.built = ""
        self.told: dict[str, str] = {}
        self.credit: Counter[str] = Counter()
        self.rejected: set[tuple[str, str]] = set()
        self.in_rejected: set[tuple[str, str]] = set()
        self.rejections: list[Rejection] = []

    @abstractmethod
    def new_subscription(self) -> Subscription: ...
    @abstractmethod
    def server_reads(self, data: bytes) -> Received: ...
    @abstractmethod
    def client_reads(self, data: bytes) -> tuple[str, dict[str, str]]:
        """Nonce, and what is said of which name."""

    @abstractmethod
    def client_answers(self, nonce: str, error: str | None) -> None: ...

    # --- the world

    @rule(name=names, version=versions)
    def a_resource_changes(self, name: str, version: str) -> None:
        self.world[name] = version
        self.look_again(name)

    @rule(name=names)
    def a_resource_goes(self, name: str) -> None:
        self.world.pop(name, None)
        self.look_again(name)

    def look_again(self, name: str) -> None:
        if name in self.subscription:
            self.waiting[name] = None

    # --- the server

    @precondition(lambda self: self.to_server and self.sending is None)  # it does not read while it writes
    @rule()
    def the_server_reads(self) -> None:
        received = self.server_reads(self.to_server.popleft())
        for name in received.dropped:
            assert name not in self.subscription or name in received.asked
            self.waiting.pop(name, None)
            self.farewell.pop(name, None)
        for name in received.farewell:
            self.farewell[name] = None
        for name in received.asked:
            assert name in self.subscription
            self.farewell.pop(name, None)
            self.waiting[name] = None
        if received.rejection is not None:
            self.rejections.append(received.rejection)
            # It is as if it had not been said; when it is said again is the stream's business.
            self.credit.update(name for name, _ in received.rejection.resources)
        self.the_server_read(received)

    def the_server_read(self, received: Received) -> None:
        """What the stream makes of it besides."""

    @precondition(lambda self: self.sending is None and (self.waiting or self.farewell))
    @rule(data=st.data())
    def the_server_settles_a_name(self, data: st.DataObject) -> None:
        if self.subscription.window == 0:
            return
        name = data.draw(st.sampled_from([*self.farewell, *self.waiting]))
        if name in self.farewell:
            del self.farewell[name]
            self.send(self.subscription.removed([name]))
        else:
            del self.waiting[name]
            self.settle(name)

    def settle(self, name: str) -> None:
        version = self.world.get(name, REMOVED)
        if name in self.subscription and self.subscription.due(name, version):
            if version == REMOVED:
                self.send(self.subscription.removed([name]))
            else:
                self.send(self.subscription.resource(name, version, b""))

    def send(self, response: Response | None) -> None:
        if response is not None:
            assert response.nonce not in self.nonces, "a nonce was used twice"
            self.nonces.add(response.nonce)
            self.built = response.nonce
            self.to_client.append(response.data)
            self.sending = response

    @precondition(lambda self: self.waiting or self.to_server)
    @rule(count=st.integers(1, 3), last_is_slow=st.booleans())
    def the_server_works(self, count: int, last_is_slow: bool) -> None:
        if self.sending is not None:
            self.the_write_is_done()
        while self.to_server:
            self.the_server_reads()
        for name in list(self.waiting)[:count]:
            if self.subscription.window and self.sending is None:
                self.waiting.pop(name, None)
                self.settle(name)
                if self.sending is not None and not last_is_slow:
                    self.the_write_is_done()

    @precondition(lambda self: self.sending is not None)
    @rule()
    def the_write_is_done(self) -> None:
        assert self.sending is not None
        self.subscription.sent(self.sending)
        self.sending = None

    # --- the client

    @precondition(lambda self: self.to_client)
    @rule()
    def the_client_reads(self) -> None:
        nonce, said = self.client_reads(self.to_client.popleft())
        for name, version in said.items():
            if self.told.get(name) == version:
                self.credit[name] -= 1
                assert self.credit[name] >= 0, f"{name} was said twice without a change or an ask"
            self.told[name] = version
        bad = [(name, version) for name, version in said.items() if version.endswith("!")]
        if bad:
            self.rejected.update(bad)
            self.in_rejected.update(said.items())
        else:
            for name, version in said.items():
                if version == REMOVED:
                    self.has.pop(name, None)
                elif name in self.interest:
                    self.has[name] = version
        self.last_nonce = nonce
        self.client_answers(nonce, "bad" if bad else None)

    @precondition(lambda self: self.to_server or self.to_client)
    @rule()
    def the_network_is_quick(self) -> None:
        while self.to_client:
            self.the_client_reads()
        if self.sending is not None:
            self.the_write_is_done()
        while self.to_server:
            self.the_server_reads()

    # --- the end

    def settle_all(self) -> None:
        while self.to_server or self.to_client or self.sending or self.waiting or self.farewell:
            if self.sending is not None:
                self.the_write_is_done()
            elif self.to_server:
                self.the_server_reads()
            elif self.to_client:
                self.the_client_reads()
            elif self.farewell:
                self.farewell.popitem()
            else:
                assert self.subscription.window > 0, "everything was acknowledged, yet nothing may be sent"
                name = next(iter(self.waiting))
                del self.waiting[name]
                self.settle(name)

    @rule()
    def in_the_end_the_client_has_what_there_is(self) -> None:
        self.settle_all()
        assert set(self.subscription.names) == set(self.interest)
        for name in self.interest:
            version = self.world.get(name)
            if version is None:
                self.is_absent(name)
            else:
                assert self.has.get(name) == version or (name, version) in self.rejected
        for name in self.interest:
            self.waiting[name] = None
        self.settle_all()
        assert not self.to_client

    def is_absent(self, name: str) -> None:
        assert name not in self.has

    @invariant()
    def a_rejection_names_what_was_rejected(self) -> None:
        for rejection in self.rejections:
            assert rejection.message == "bad"
            assert set(rejection.resources) <= self.in_rejected
            assert self.rejected.intersection(rejection.resources)
            assert rejection.resources
