"""On the whole stack: what an operator sees of it, by the REST API and on the pages, from two replicas of control."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from scenes.play import Play

from embedded.ports import LOOPBACK, free_port


class Office:
    """Where an operator works. `port`: of another replica than the stack's own."""

    def __init__(self, play: Play, port: int | None = None) -> None:
        token = play.stack.identity.operator_token()
        base = play.stack.api_url if port is None else f"http://{LOOPBACK}:{port}/api/v1"
        self.http = httpx.AsyncClient(
            base_url=base, headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=30
        )

    async def look(self, path: str, **query: str) -> Any:
        answer = await self.http.get(f"/admin/{path}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()


async def test_an_operator_sees_the_fleet_any_domain_and_what_the_sidecar_would_do(play: Play) -> None:
    owner, host = play.customer(), f"shop.{play.zone}"
    body = await play.active(owner, host)
    await play.visit(host)
    office = Office(play)
    async with office.http:

        async def up_to_date() -> Any:
            (sidecar,) = (await office.look("sidecars"))["data"]
            return sidecar if sidecar["upToDate"] and sidecar["envoys"]["acknowledged"] else None

        sidecar = await play.eventually(up_to_date, timeout=20)
        assert sidecar["envoys"] == {"connected": 1, "acknowledged": 1, "rejecting": 0, "rejectedNames": 0}

        (row,) = (await office.look("domains", q=host))["data"]
        assert (row["id"], row["status"], row["renewalLate"]) == (body["id"], "active", False)
        whole = await office.look(f"domains/{row['id']}")
        assert whole["certificateFacts"]["serial"] == body["certificate"]["serial"]

        said = await office.look("explain", host=host)
        (one,) = said["sidecars"]
        assert (one["sidecar"], one["state"]) == (sidecar["id"], "answered")
        assert one["answer"]["served"] is True
        assert one["answer"]["certificate"]["serial"] == body["certificate"]["serial"]
        assert said["waited"] < 3

        actions = [entry["action"] for entry in (await office.look("audit", hostname=host))["data"]]
        assert {"add", "verify", "ssl_issue", "activate", "explain"} <= set(actions)
        assert all(entry["chain"]["state"] == "sealed" for entry in (await office.look("audit"))["data"])
        overview = await office.look("overview")
        assert overview["figures"]["domains"] >= 0
        assert not [one for one in overview["problems"] if one["code"] in ("no_sidecar", "sidecar_behind", "ca_out")]

    link = await play.stack.hand_over(play.stack.identity.operator_token(), operator=True)
    async with httpx.AsyncClient(trust_env=False, follow_redirects=True, timeout=30) as person:
        page = await person.get(link)
        assert page.url.path == "/ui/operator/"
        assert "Domains by state" in page.text
        page = await person.get(f"{play.stack.ui_url}/ui/operator/explain", params={"host": host})
        assert re.search(r"1 of 1 sidecars have\s+answered", page.text)


async def test_each_replica_of_control_answers_for_all(play: Play) -> None:
    port = free_port()
    second = await play.stack.start_control("second", NAMEPLATE_API_LISTEN=f"{LOOPBACK}:{port}")
    office = Office(play, port)
    try:
        async with office.http:

            async def both() -> Any:
                live = [one for one in (await office.look("cas"))["data"] if one["live"]]
                return live if len(live) == 2 else None

            live = await play.eventually(both, timeout=30)
            assert sorted(one["answering"] for one in live) == [False, True]

            async def answered() -> bool:
                """The second one hears the sidecars too."""
                said = await office.look("explain", host=f"nobody.{play.zone}")
                return [one["state"] for one in said["sidecars"]] == ["answered"]

            await play.eventually(answered, timeout=30)
            name = next(one["replica"] for one in live if one["answering"])
    finally:
        assert await second.stop() == 0
    first = Office(play)
    async with first.http:
        (gone,) = [one for one in (await first.look("cas"))["data"] if one["replica"] == name]
        assert (gone["live"], gone["ended"]) == (False, True)


@pytest.mark.parametrize("path", ["overview", "sidecars", "domains", "cas", "limits", "deliveries", "audit", "explain"])
async def test_a_tenant_sees_nothing_of_it(play: Play, path: str) -> None:
    owner = play.customer()
    answer = await play.http.get(f"admin/{path}?host=a.test", headers={"Authorization": f"Bearer {owner.token}"})
    assert (answer.status_code, answer.json()["code"]) == (403, "admin_only")
