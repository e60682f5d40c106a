"""The sidecars, as this replica hears them, against the newest change that there is."""

from __future__ import annotations

from collections.abc import Sequence

from api.auth import Operator
from api.overview.fleet import Fleet, Sidecar
from control.certificates.propagation import HEARD_ALL, Heard, Propagation
from control.domains.tenancy import Connection
from control.services.transactions import Transactions

# The front of idx_changes_xid; where all was pruned, what was.
NEWEST = """SELECT now() AS now, coalesce(c.xid, (SELECT pruned_xid FROM feed))::text::bigint AS xid, c.at
    FROM (SELECT 1) one LEFT JOIN (SELECT xid, at FROM changes ORDER BY xid DESC LIMIT 1) c ON true"""


class Sidecars:
    def __init__(self, transactions: Transactions, propagation: Propagation, replica: str) -> None:
        self._transactions = transactions
        self._propagation = propagation
        self._replica = replica

    async def fleet(self, caller: Operator) -> Fleet:
        async def work(connection: Connection) -> Fleet:
            newest = await connection.fetchrow(NEWEST)
            assert newest is not None  # noqa: S101 -- it is one row
            return Fleet(
                replica=self._replica,
                now=newest["now"],
                generation=newest["xid"],
                changed=newest["at"],
                listening=self._propagation.listening_for,
                listens=self._propagation.is_listening(),
                heard_all=self.heard_all(),
                sidecars=[_sidecar(one, newest["xid"]) for one in self._propagation.all_heard()],
            )

        return await self._transactions.read(caller, work)

    def heard_all(self) -> bool:
        """Whoever is alive was heard by now."""
        return self._propagation.is_listening() and self._propagation.listening_for >= HEARD_ALL

    def expected(self) -> Sequence[tuple[str, bool]]:
        """Those that are alive, and whether they take questions."""
        return [(one.sighting.sidecar, one.sighting.answers) for one in self._propagation.all_heard() if one.live]


def _sidecar(heard: Heard, newest: int) -> Sidecar:
    sighting = heard.sighting
    rejected = sighting.rejected
    return Sidecar(
        id=sighting.sidecar,
        heard=max(0.0, heard.age),
        live=heard.live,
        position=sighting.position,
        newest=sighting.has_seen(newest),
        envoys=None if sighting.envoys is None else sighting.connected,
        acknowledged=sighting.acknowledged(newest),
        rejected=min(sighting.connected, max([*rejected.by_digest.values(), rejected.others], default=0)),
        rejected_names=len(rejected.by_digest),
        answers=sighting.answers,
    )
