"""The cases on the check socket of a sidecar as it is shipped: its process, its methods, its limits."""

from __future__ import annotations

from pathlib import Path

from conformance import frames
from conformance.frames import END_STREAM
from conformance.grpc import call, message, response, start
from conformance.peer import Peer
from conformance.test_cases import CASES
from scenes import edge as edges

from embedded.database import Database
from embedded.pki import Pki
from embedded.vault_mount import VaultMount

CHECK, PROCESS = "/envoy.service.auth.v3.Authorization/Check", "/envoy.service.ext_proc.v3.ExternalProcessor/Process"
HEALTH = "/grpc.health.v1.Health/Check"


async def test_the_sidecar_passes_every_case_and_serves_on(
    state_dir: Path, database: Database, vault_mount: VaultMount, pki: Pki
) -> None:
    edge = edges.create(state_dir, database, vault_mount, pki)
    await edge.start_sidecar()
    sockets = state_dir / "run" / "check.sock"
    failed = {}
    try:
        for case in CASES:
            peer = await Peer.connect(sockets)
            try:
                await case.run(peer)
            except AssertionError as problem:
                failed[case.id] = problem
            peer.close()
        peer = await Peer.connect(sockets)
        await peer.handshake()
        # A check of nothing, a process request of nothing, and the health of the whole, by a peer of another make.
        peer.send(call(peer, 1, b"", CHECK), start(peer, 3, PROCESS), frames.data(3, message(b"\x12\x00")))
        assert (await response(peer, 1)).status == 0
        assert (await response(peer, 3)).status == 0
        peer.send(start(peer, 5, HEALTH), frames.data(5, message(b""), END_STREAM))
        assert (await response(peer, 5)).messages == [b"\x08\x01"]
        peer.close()
    finally:
        await edge.stop_sidecar()
    assert not failed
    assert "Traceback" not in edge.running.log_path.read_text()
