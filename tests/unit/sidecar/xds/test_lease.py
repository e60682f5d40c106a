"""The lease of one client: what is written to it, and when."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from uuid import UUID

import pytest

from sidecar.wire import discovery_pb2 as wire
from sidecar.wire.filter_pb2 import Filter
from sidecar.xds import lease as leases
from sidecar.xds.counters import Counters
from sidecar.xds.ended import FILTER_NAME, FILTER_TYPE, EndedRegistrations
from sidecar.xds.lease import LEASE, EndedLease

ONE, TWO = str(UUID(int=1)), str(UUID(int=2))
Response = Filter.Response


class Client:
    """`acknowledging`: by itself, at once."""

    def __init__(self) -> None:
        self.ended = EndedRegistrations()
        self.counters = Counters()
        self.responses: asyncio.Queue[Response] = asyncio.Queue()
        self.woken = asyncio.Event()
        self.acknowledging = True
        self.lease = EndedLease(self.ended, self.counters, self._send)
        self.ended.on_change = self.woken.set

    async def _send(self, *messages: bytes) -> None:
        for message in messages:
            response = Response.FromString(message)
            self.responses.put_nowait(response)
            if self.acknowledging:
                self.receive(response_nonce=response.nonce)

    async def run(self) -> None:
        """What a stream's task does for its lease."""
        while True:
            await self.lease.write()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self.lease.due_at):
                    await self.woken.wait()
            self.woken.clear()

    def receive(self, error: str = "", **fields: object) -> object:
        request = wire.DeltaDiscoveryRequest(type_url=FILTER_TYPE, **fields)
        if error:
            request.error_detail.message = error
        self.woken.set()
        return self.lease.receive(request)

    async def next(self) -> Response:
        async with asyncio.timeout(5):
            return await self.responses.get()

    async def nothing_more(self) -> bool:
        """After all that could be written by now."""
        await asyncio.sleep(4 * leases.SPACING)
        return self.responses.empty()


@contextlib.asynccontextmanager
async def client() -> AsyncIterator[Client]:
    client = Client()
    running = asyncio.create_task(client.run())
    try:
        yield client
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def hurry() -> None:
        monkeypatch.setattr(leases, "RENEWAL", 0.02)
        monkeypatch.setattr(leases, "ACK_PATIENCE", 0.02)

    return hurry


async def test_a_list_is_sent_on_a_lease_and_again_when_it_has_changed():
    async with client() as envoy:
        envoy.ended.add({ONE: 0.0})
        assert await envoy.nothing_more(), "nobody has asked"
        envoy.receive(resource_names_subscribe=[FILTER_NAME])
        (first,) = (await envoy.next()).resources
        assert (first.name, first.ttl.seconds) == (FILTER_NAME, LEASE)
        assert ONE.encode() in first.resource
        envoy.ended.add({TWO: 0.0})
        (second,) = (await envoy.next()).resources
        assert TWO.encode() in second.resource
        assert second.version != first.version
        assert envoy.counters.ended_lists == 2
        assert await envoy.nothing_more()


async def test_without_a_list_a_client_that_has_none_is_told_nothing_and_one_that_has_one_loses_it():
    async with client() as envoy:
        envoy.receive(resource_names_subscribe=[FILTER_NAME])
        assert await envoy.nothing_more()
        envoy.receive(resource_names_subscribe=[FILTER_NAME], initial_resource_versions={FILTER_NAME: "of another"})
        response = await envoy.next()
        assert (response.removed_resources, len(response.resources)) == ([FILTER_NAME], 0)
        assert await envoy.nothing_more()


async def test_a_client_that_comes_back_with_the_list_gets_a_heartbeat_and_not_the_list():
    async with client() as envoy:
        envoy.ended.add({ONE: 0.0})
        version = envoy.ended.config().version
        envoy.receive(resource_names_subscribe=[FILTER_NAME], initial_resource_versions={FILTER_NAME: version})
        (heartbeat,) = (await envoy.next()).resources
        assert (heartbeat.version, heartbeat.ttl.seconds, heartbeat.resource) == (version, LEASE, b"")
        assert envoy.counters.ended_lists == 0


async def test_the_lease_is_renewed_as_long_as_the_stream_lives(hurried):
    hurried()
    async with client() as envoy:
        envoy.ended.add({ONE: 0.0})
        envoy.receive(resource_names_subscribe=[FILTER_NAME])
        (first,) = (await envoy.next()).resources
        for _ in range(3):
            (heartbeat,) = (await envoy.next()).resources
            assert (heartbeat.version, heartbeat.resource) == (first.version, b"")


async def test_a_client_that_rejects_the_list_is_told_that_there_is_none_until_it_is_another():
    async with client() as envoy:
        envoy.acknowledging = False
        envoy.ended.add({ONE: 0.0})
        envoy.receive(resource_names_subscribe=[FILTER_NAME])
        response = await envoy.next()
        rejection = envoy.receive("no", response_nonce=response.nonce)
        assert rejection.resources == ((FILTER_NAME, response.resources[0].version),)
        envoy.acknowledging = True
        assert (await envoy.next()).removed_resources == [FILTER_NAME]
        assert await envoy.nothing_more()
        envoy.ended.add({TWO: 0.0})
        assert len((await envoy.next()).resources) == 1


async def test_a_client_that_rejects_that_there_is_none_too_is_not_sent_the_list_again():
    async with client() as envoy:
        envoy.acknowledging = False
        envoy.ended.add({ONE: 0.0})
        envoy.receive(resource_names_subscribe=[FILTER_NAME])
        envoy.receive("no", response_nonce=(await envoy.next()).nonce)
        removal = await envoy.next()
        assert removal.removed_resources == [FILTER_NAME]
        envoy.receive("no", response_nonce=removal.nonce)
        assert await envoy.nothing_more()


async def test_a_client_whose_lease_had_ended_gets_the_list_again_when_it_rejects_the_heartbeat():
    async with client() as envoy:
        envoy.ended.add({ONE: 0.0})
        version = envoy.ended.config().version
        envoy.acknowledging = False
        envoy.receive(resource_names_subscribe=[FILTER_NAME], initial_resource_versions={FILTER_NAME: version})
        heartbeat = await envoy.next()
        assert envoy.receive("what is that?", response_nonce=heartbeat.nonce) is None
        (again,) = (await envoy.next()).resources
        assert ONE.encode() in again.resource


async def test_one_response_is_out_at_a_time_and_a_burst_of_changes_is_one_list():
    async with client() as envoy:
        envoy.acknowledging = False
        envoy.ended.add({})
        envoy.receive(resource_names_subscribe=[FILTER_NAME])
        first = await envoy.next()
        for n in range(100):
            envoy.ended.add({str(UUID(int=n)): 0.0})
        assert await envoy.nothing_more()
        envoy.acknowledging = True
        envoy.receive(response_nonce=first.nonce)
        (resource,) = (await envoy.next()).resources
        assert resource.version == envoy.ended.config().version
        assert await envoy.nothing_more()


async def test_a_client_that_does_not_acknowledge_is_written_to_all_the_same(hurried):
    hurried()
    async with client() as envoy:
        envoy.acknowledging = False
        envoy.ended.add({})
        envoy.receive(resource_names_subscribe=[FILTER_NAME])
        await envoy.next()
        envoy.ended.add({ONE: 0.0})
        response = await envoy.next()
        while not response.resources[0].resource:  # a heartbeat was due before
            response = await envoy.next()
        assert ONE.encode() in response.resources[0].resource


async def test_after_it_unsubscribed_a_client_is_left_in_peace():
    async with client() as envoy:
        envoy.ended.add({ONE: 0.0})
        envoy.receive(resource_names_subscribe=[FILTER_NAME])
        await envoy.next()
        envoy.receive(resource_names_unsubscribe=[FILTER_NAME])
        envoy.ended.add({TWO: 0.0})
        assert await envoy.nothing_more()
