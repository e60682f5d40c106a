"""Which registrations ended is told exactly, whether the directory held them or not, and again after a restart."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from scenes.directory import Rows, Running, running

from embedded.database import Database
from sidecar.directory.entry import Unknown
from sidecar.directory.intake import ENDED_KEPT

Eventually = Callable[..., Awaitable[Any]]

ENDS = {
    "deleted": "UPDATE custom_domains SET deleted_at = now()",
    "suspended": "UPDATE custom_domains SET status = 'failed'",
    "erased": "DELETE FROM custom_domains",
    "moved to another tenant": "UPDATE custom_domains SET tenant_id = (SELECT max(id::text)::uuid FROM tenants)",
    "renamed": "UPDATE custom_domains SET hostname = 'new.test'",
}
GOES_ON = {
    "is not active but has its certificate": "UPDATE custom_domains SET status = 'verified'",
    "is counted": "UPDATE custom_domains SET failure_count = 1",
}
NEVER_WAS = {
    "deleted": "UPDATE custom_domains SET deleted_at = now()",
    "failed": "UPDATE custom_domains SET status = 'failed'",
    "active at last": "UPDATE custom_domains SET status = 'active'",
}


def told(sidecar: Running) -> dict[str, float]:
    return {registration: at for ended in sidecar.ended for registration, at in ended.items()}


async def changed(rows: Rows, statement: str, hostname: str, sidecar: Running, eventually: Eventually) -> None:
    """The sidecar has read it."""
    await rows.connection.execute(f"{statement} WHERE hostname = $1", hostname)
    marker = f"marker{sidecar.feed.intake.changes}.test"
    await rows.domain(marker)
    await eventually(lambda: sidecar.directory.peek(marker))


@pytest.mark.parametrize("how", ENDS)
async def test_a_live_registration_that_ends_is_told_once_with_its_time(
    rows: Rows, sidecar: Running, eventually: Eventually, how: str
) -> None:
    tenants = [await rows.tenant("one"), await rows.tenant("other")]
    domain = await rows.domain("shop.test", tenant=min(tenants))
    await eventually(lambda: sidecar.directory.peek("shop.test"))
    await changed(rows, ENDS[how], "shop.test", sidecar, eventually)
    assert set(told(sidecar)) == {str(domain)}
    now = await rows.connection.fetchval("SELECT extract(epoch FROM now())::float8")
    assert now - 60 < told(sidecar)[str(domain)] <= now


@pytest.mark.parametrize("how", GOES_ON)
async def test_a_registration_that_goes_on_is_not_told(
    rows: Rows, sidecar: Running, eventually: Eventually, how: str
) -> None:
    await rows.domain("shop.test")
    await rows.certificate("shop.test", "ab" * 32)
    await eventually(lambda: sidecar.directory.peek("shop.test"))
    await changed(rows, GOES_ON[how], "shop.test", sidecar, eventually)
    await rows.certificate("shop.test", "cd" * 32, vault_version=2)
    await changed(rows, "UPDATE custom_domains SET ssl_status = 'renewed'", "shop.test", sidecar, eventually)
    assert told(sidecar) == {}


@pytest.mark.parametrize("how", NEVER_WAS)
async def test_one_that_was_never_live_is_not_told(
    rows: Rows, sidecar: Running, eventually: Eventually, how: str
) -> None:
    await rows.domain("soon.test", "verified")
    await eventually(lambda: sidecar.directory.peek("soon.test"))
    await changed(rows, NEVER_WAS[how], "soon.test", sidecar, eventually)
    assert told(sidecar) == {}


async def test_one_that_only_had_its_certificate_was_live(rows: Rows, sidecar: Running, eventually: Eventually) -> None:
    domain = await rows.domain("soon.test", "verified")
    await rows.certificate("soon.test", "ab" * 32)
    await changed(rows, ENDS["deleted"], "soon.test", sidecar, eventually)
    assert set(told(sidecar)) == {str(domain)}


async def test_of_a_name_that_was_registered_anew_the_old_registration_ended(
    rows: Rows, sidecar: Running, eventually: Eventually
) -> None:
    old = await rows.domain("shop.test")
    await eventually(lambda: sidecar.directory.peek("shop.test"))
    async with rows.connection.transaction():
        await rows.delete("shop.test")
        new = await rows.domain("shop.test")
    await eventually(lambda: sidecar.directory.peek("shop.test").domain_id == str(new))
    assert set(told(sidecar)) == {str(old)}


async def test_a_slug_that_goes_ends_what_its_tenant_was_served_under(
    rows: Rows, sidecar: Running, eventually: Eventually
) -> None:
    tenant = await rows.tenant("acme")
    await rows.connection.execute("UPDATE tenants SET max_domains = 5 WHERE slug = 'acme'")
    await eventually(lambda: sidecar.directory.peek("acme.platform.test"))
    assert told(sidecar) == {}
    await rows.connection.execute("UPDATE tenants SET slug = 'emca' WHERE slug = 'acme'")
    await eventually(lambda: sidecar.directory.peek("emca.platform.test"))
    assert set(told(sidecar)) == {str(tenant)}


async def test_the_directory_has_the_change_before_it_is_told_and_the_end_is_told_before_the_change(
    rows: Rows, sidecar: Running, eventually: Eventually
) -> None:
    order: list[tuple[str, object]] = []

    def on_ended(ended: Mapping[str, float]) -> None:
        order.append(("ended", sidecar.directory.lookup("shop.test")))

    sidecar.feed.subscribe_ended(on_ended)
    sidecar.feed.subscribe(lambda hostnames: order.append(("changed", hostnames)))
    await rows.domain("shop.test")
    await eventually(lambda: sidecar.directory.peek("shop.test"))
    await rows.delete("shop.test")
    await eventually(lambda: len(order) == 3)
    assert order[1:] == [("ended", Unknown.ABSENT), ("changed", frozenset({"shop.test"}))]


async def test_a_consumer_that_fails_keeps_nobody_from_the_news(
    rows: Rows, sidecar: Running, eventually: Eventually, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(_ended: Mapping[str, float]) -> None:
        raise RuntimeError("on purpose")

    later: list[Mapping[str, float]] = []
    sidecar.feed.subscribe_ended(fail)
    sidecar.feed.subscribe_ended(later.append)
    domain = await rows.domain("shop.test")
    await eventually(lambda: sidecar.directory.peek("shop.test"))
    await rows.delete("shop.test")
    await eventually(lambda: sidecar.directory.peek("shop.test") is None)
    assert [set(ended) for ended in later] == [{str(domain)}]
    assert "on_ended_failed" in "".join(capfd.readouterr())


async def test_an_incomplete_directory_is_told_of_names_that_it_does_not_hold(
    rows: Rows, database: Database, state_dir: Path, eventually: Eventually
) -> None:
    domain = await rows.domain("a.test")
    await rows.domains(f"s{n}.test" for n in range(20))
    async with running(database.sidecar_dsn, state_dir, capacity=5) as sidecar:
        await eventually(lambda: sidecar.feed.reads > 0)
        for n in range(10):
            await sidecar.service.source.load(f"s{n}.test")
        assert sidecar.directory.lookup("a.test") is Unknown.MISS
        await rows.delete("a.test")
        await eventually(lambda: told(sidecar))
        assert set(told(sidecar)) == {str(domain)}


@pytest.mark.parametrize("snapshot", ["with its snapshot", "without one"])
async def test_a_restarted_sidecar_is_told_what_ended_lately_before_its_first_read_counts(
    rows: Rows, database: Database, state_dir: Path, eventually: Eventually, snapshot: str
) -> None:
    ended = {str(await rows.domain("seen.test")), str(await rows.domain("unseen.test"))}
    long_ago = await rows.domain("old.test")
    async with running(database.sidecar_dsn, state_dir) as sidecar:
        await eventually(lambda: sidecar.directory.peek("unseen.test"))
        await rows.delete("seen.test")
        await eventually(lambda: told(sidecar))
    await rows.delete("unseen.test")
    await rows.delete("old.test")
    await database.postgres.execute(
        f"UPDATE changes SET at = at - interval '{ENDED_KEPT + 60} s' WHERE ended = '{long_ago}'", database.name
    )
    folder = state_dir if snapshot == "with its snapshot" else state_dir / "another"
    async with running(database.sidecar_dsn, folder) as again:
        lists: list[int] = []
        again.feed.subscribe_ended(lambda _: lists.append(again.feed.reads))
        await eventually(lambda: again.feed.reads > 0)
        assert again.feed.intake.reloads == (snapshot == "without one")
        assert lists[0] == 0
        assert set(again.ended[0]) == ended
        # One that ended so long ago that it says nothing any more is told only as part of the changes that were missed.
        assert set(told(again)) <= ended | {str(long_ago)}


async def test_a_sidecar_is_told_even_that_nothing_ended(
    rows: Rows, database: Database, state_dir: Path, eventually: Eventually
) -> None:
    async with running(database.sidecar_dsn, state_dir) as sidecar:
        await eventually(lambda: sidecar.feed.reads > 0)
        assert sidecar.ended == [{}]


async def test_one_that_ends_again_and_again_takes_the_place_of_no_other(
    rows: Rows, database: Database, state_dir: Path, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with each change of its service, or of what it asks of clients: the limit is one of registrations."""
    monkeypatch.setattr("sidecar.directory.intake.ENDED_LIMIT", 3)
    first = await rows.domain("first.test")
    await rows.delete("first.test")
    again = await rows.domain("again.test")
    for _ in range(5):
        await rows.connection.execute(
            "INSERT INTO changes (kind, key, ended) VALUES ('domain', 'again.test', $1)", again
        )
    async with running(database.sidecar_dsn, state_dir) as sidecar:
        await eventually(lambda: sidecar.feed.reads > 0)
        assert list(told(sidecar)) == [str(first), str(again)]
