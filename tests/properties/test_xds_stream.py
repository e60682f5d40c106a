"""Random histories of a stream with the real directory, resolver and caches, and a Vault that is away.

Names are the platform's subdomains, whose certificate is in memory, domains whose certificates were loaded before
Vault went away, cold ones, and names that nobody has; all in several spellings. The client takes what is written only
when the history lets it, so writes, changes and requests come in every order.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from unittest import mock
from uuid import uuid4

from hypothesis import given, settings
from hypothesis import strategies as st
from scenes.edges import edges
from scenes.secrets import PLATFORM, Authority

from core.hostname import normalize_sni
from core.vault_login import AppRole
from embedded.ports import free_port
from sidecar.certs.edge import EdgeSecrets
from sidecar.certs.platform import PlatformCertificate
from sidecar.certs.secrets import SECRET_TYPE, Kept, LoadedCertificate, SecretCache
from sidecar.certs.vault import Vault
from sidecar.directory.budget import Budget
from sidecar.directory.directory import Directory
from sidecar.directory.entry import Entry, PlatformDomain
from sidecar.directory.postgres import Postgres
from sidecar.directory.rows import Everything
from sidecar.directory.source import Source
from sidecar.wire import discovery_pb2 as wire
from sidecar.xds import resolver
from sidecar.xds.counters import Counters
from sidecar.xds.ended import EndedRegistrations
from sidecar.xds.service import DiscoveryService
from sidecar.xds.spellings import LIMIT
from sidecar.xds.stream import SecretStream
from sidecar.xds.subscription_delta import DeltaSubscription

TENANT = "7b0f2a52-6a9c-4f0c-9a51-000000000001"
AUTHORITY = Authority()
PLATFORM_CERTIFICATES = [LoadedCertificate.create(AUTHORITY.issue(f"*.{PLATFORM}"), number) for number in range(3)]
SLUGS = [f"{letter}.{PLATFORM}" for letter in "ab"]
OWN = "own.brand.test"
OWN_CERTIFICATES = [LoadedCertificate.create(AUTHORITY.issue(OWN), number) for number in range(2)]
COLD = "cold.brand.test"
SPELLED = ["Own.brand.test", "oWn.brand.test", "owN.brand.test", "OWn.brand.test", "OWN.brand.test"]
NAMES = [*SLUGS, OWN, COLD, *SPELLED, "default", "127.0.0.1", "nobody.test"]

names = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True)
steps = st.one_of(
    st.tuples(st.just("subscribe"), names),
    st.tuples(st.just("unsubscribe"), names),
    st.tuples(st.just("platform"), st.sampled_from(PLATFORM_CERTIFICATES)),
    st.tuples(st.just("own"), st.sampled_from(OWN_CERTIFICATES)),
    st.tuples(st.just("own, not fetched"), st.sampled_from(OWN_CERTIFICATES)),
    st.tuples(st.just("stale"), st.booleans()),
    st.tuples(st.just("take"), st.sampled_from([*SLUGS, OWN, COLD])),
    st.tuples(st.just("give"), st.sampled_from([*SLUGS, COLD])),
    st.tuples(st.just("client"), st.sampled_from(["reads one", "reads all", "reconnects", "rejects", "accepts"])),
    st.tuples(st.just("time"), st.integers(1, 20)),
)


class World:
    """The service as the sidecar makes it, with one client at its stream."""

    def __init__(self, vault: Vault) -> None:
        domain = PlatformDomain(PLATFORM)
        self.directory = Directory(domain, 100)
        self.directory.replace(Everything())
        self.directory.fresh_for(3600)
        self.secrets = SecretCache(vault)
        self.platform = PlatformCertificate(vault, PLATFORM)
        self.platform.current = PLATFORM_CERTIFICATES[0]
        postgres = Postgres(f"postgresql://nobody@127.0.0.1:{free_port()}/none", domain)
        source = Source(self.directory, postgres, Budget(100))
        edge = EdgeSecrets(edges(), vault)
        self.service = DiscoveryService(self.directory, source, self.secrets, self.platform, EndedRegistrations(), edge)
        self.domain_ids = {OWN: str(uuid4()), COLD: str(uuid4())}
        self.interest: set[str] = set()
        self.has: dict[str, str] = {}
        self.taken: set[str] = set()
        self.most_spelled = 0
        self.rejecting = False
        self.rejected: set[str] = set()
        self.connect()

    def connect(self) -> None:
        self.allowed = asyncio.Semaphore(0)
        self.told: dict[str, str] = dict(self.has)
        self.credit: Counter[str] = Counter()
        self.subscription = DeltaSubscription(SECRET_TYPE)
        self.woken = asyncio.Event()
        self.stream = SecretStream(
            self.subscription, self.service._resolver, self.service._index, Counters(), self.write, self.woken.set
        )
        self.writer = asyncio.create_task(self.run())
        self.service._streams[self.stream] = mock.sentinel.call
        if self.interest:
            self.ask(self.interest, initial_resource_versions=self.has)

    async def disconnect(self) -> None:
        del self.service._streams[self.stream]
        self.writer.cancel()
        await asyncio.gather(self.writer, return_exceptions=True)
        self.stream.close()

    async def run(self) -> None:
        """What the stream's task does."""
        while True:
            await self.stream.write()
            if self.stream.waiting:
                await asyncio.sleep(0)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self.stream.due_at):
                    await self.woken.wait()
            self.woken.clear()

    async def write(self, *messages: bytes) -> None:
        for message in messages:
            await self.allowed.acquire()
            self.read(message)

    def read(self, data: bytes) -> None:
        response = wire.DeltaDiscoveryResponse.FromString(data)
        said = {item.name: item.version for item in response.resources}
        assert len(said) <= 1
        said.update(dict.fromkeys(response.removed_resources, ""))
        if self.rejecting:
            self.rejected.update(said)
            self.request(response_nonce=response.nonce, error_detail=wire.Status(message="no"))
            return
        for name, version in said.items():
            if self.told.get(name) == version:
                self.credit[name] -= 1
                assert self.credit[name] >= 0, f"{name} was said twice without a change or an ask"
            self.told[name] = version
            if not version:
                host = name if name == "default" else normalize_sni(name)
                one_too_many = name in SPELLED and self.most_spelled > LIMIT
                assert name not in self.has or host in self.taken or one_too_many, f"{name} was taken away"
                self.has.pop(name, None)
            elif name in self.interest:
                self.has[name] = version
        self.request(response_nonce=response.nonce)

    def request(self, **fields: object) -> None:
        data = wire.DeltaDiscoveryRequest(**fields).SerializeToString()
        self.stream.receive(self.subscription.receive(wire.DeltaDiscoveryRequest.FromString(data)))
        self.woken.set()

    def ask(self, wanted: set[str] | list[str], **fields: object) -> None:
        self.interest |= set(wanted)
        self.most_spelled = max(self.most_spelled, len(self.interest.intersection(SPELLED)))
        self.credit.update(wanted)
        self.request(resource_names_subscribe=sorted(wanted), **fields)

    def put(self, hostname: str, entry: Entry | None) -> None:
        self.directory.apply({hostname: entry})
        self.service.on_change(frozenset({hostname}))

    def own(self, certificate: LoadedCertificate, *, fetched: bool) -> None:
        """The domain has this certificate now; without `fetched` it is in Vault only, which is away."""
        entry = self.entry(OWN, certificate)
        if fetched:
            self.secrets._kept[OWN] = Kept((OWN, entry.fingerprint, entry.vault_version), entry.domain_id, certificate)
        self.put(OWN, entry)

    def entry(self, hostname: str, certificate: LoadedCertificate) -> Entry:
        version = int(certificate.version.rpartition(".")[2])
        fingerprint = certificate.facts.fingerprint
        return Entry(hostname, TENANT, self.domain_ids[hostname], True, fingerprint, version, None, False)

    def give(self, hostname: str) -> None:
        if hostname == COLD:
            self.put(COLD, self.entry(COLD, OWN_CERTIFICATES[0]))
        else:
            self.put(hostname, Entry(hostname, TENANT, "", True, None, None, None, True))

    async def step(self, verb: str, what: object) -> None:
        match verb, what:
            case "subscribe", list(wanted):
                self.ask(wanted)
            case "unsubscribe", list(unwanted):
                self.interest -= set(unwanted)
                for name in unwanted:
                    self.has.pop(name, None)
                self.request(resource_names_unsubscribe=unwanted)
            case "platform", LoadedCertificate() as certificate:
                self.platform.current = certificate
                self.service.on_platform_change()
            case "own", LoadedCertificate() as certificate:
                self.own(certificate, fetched=True)
            case "own, not fetched", LoadedCertificate() as certificate:
                self.own(certificate, fetched=False)
            case "stale", bool(stale):
                self.directory.fresh_for(0 if stale else 3600)
            case "take", str(hostname):
                self.taken.add(hostname)
                self.put(hostname, None)
            case "give", str(hostname):
                self.give(hostname)
            case "client", "reads one":
                self.allowed.release()
            case "client", "reads all":
                await self.settle()
            case "client", "rejects" | "accepts":
                self.rejecting = what == "rejects"
            case "client", "reconnects":
                await self.disconnect()
                self.connect()
            case "time", int(turns):
                for _ in range(turns):
                    await asyncio.sleep(0)

    async def settle(self) -> None:
        """The client reads until nothing waits any more; a Vault that is away has said so by then."""
        for _ in range(1000):
            self.allowed.release()
        while self.stream._waiting or self.stream._settling.loads._loading or self.woken.is_set():
            assert not self.writer.done(), self.writer.result()
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        self.allowed = asyncio.Semaphore(0)

    def allowed_of(self, name: str) -> set[str | None]:
        """What a client may have in the end (None: nothing), by the rules of sidecar.xds.resolver."""
        current = self.platform.current
        assert current is not None
        if name == "default":
            return {current.version}
        host = normalize_sni(name)
        if host is None:
            return {None}
        entry = self.directory.find(host)
        if not isinstance(entry, Entry):
            # What it has it keeps while the directory is stale.
            kept = self.directory.stale or name in self.stream._settling.retries
            return {None, self.has.get(name)} if kept else {None}
        if entry.platform:
            return {current.version}
        if host == COLD:
            return {None}
        kept = self.secrets.get(entry)
        if kept is not None:
            return {kept.version}
        return {None, self.has.get(name)}  # it cannot be fetched

    def no_trace_of_others(self) -> None:
        stream = self.stream
        waiting, settling = stream._waiting, stream._settling
        for traces in (waiting.asked, waiting.changed, settling.loads, settling.retries):
            assert set(traces) <= self.interest


@settings(max_examples=200)
@given(st.lists(steps, min_size=15, max_size=60))
def test_whatever_happened_the_client_ends_up_with_what_there_is(history: list[tuple[str, object]]) -> None:
    async def play() -> None:
        async with Vault(f"http://127.0.0.1:{free_port()}", mount="kv", login=AppRole("r", lambda: "s")) as vault:
            world = World(vault)
            for slug in SLUGS:
                world.give(slug)
            world.own(OWN_CERTIFICATES[0], fetched=True)
            try:
                for verb, what in history:
                    await world.step(verb, what)
                    assert not world.writer.done(), world.writer.result()
                await world.settle()
                assert set(world.subscription.names) == world.interest
                assert world.stream._counters.subscriptions == len(world.interest)
                world.no_trace_of_others()
                spelled = [name for name in world.interest if name in SPELLED]
                for name in world.interest - world.rejected:  # which is said again later
                    if name not in SPELLED:
                        assert world.has.get(name) in world.allowed_of(name), name
                    elif name in world.has:
                        assert world.has[name] in world.allowed_of(name), name
                have = [name for name in spelled if name in world.has]
                assert len(have) <= LIMIT
                if None not in world.allowed_of(OWN) and world.most_spelled <= LIMIT and not world.rejected:
                    assert have == spelled
            finally:
                await world.disconnect()
                await world.secrets.close()
            assert len(world.service._index) == 0

    # It waits for nothing here: that Vault is away is settled.
    with mock.patch.object(resolver, "SECOND_TRY", 0.0):
        asyncio.run(play())
