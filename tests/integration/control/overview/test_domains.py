"""Domains of all tenants: what each list shows, in pages that overlap nowhere, and what is counted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from scenes.overview import ROOT, Control, Watched, domain, finding, now, tenant

from api.overview.domains import DomainRow, Wanted
from api.overview.places import Place
from api.service import DomainNotFound
from control.domains.counts import ENDS, NO_SCAN, STATES
from control.overview.domains import STATEMENTS, _page

DAY = timedelta(days=1)


@pytest.fixture
async def fleet(control: Control) -> dict[str, Any]:
    """Two tenants with a domain in each state that an operator looks for."""
    acme, zeta = await tenant(control, "acme"), await tenant(control, "zeta")
    failed = {"status": "failed", "ssl_status": "none", "dns_finding": finding("txt_missing"), "cert_expiry": None}
    refused = {"ssl_status": "error", "ssl_finding": finding("caa_forbids"), "renew_at": now() - 20 * DAY}
    vault = {"ssl_status": "error", "ssl_finding": finding("vault_unavailable", "operator"), "renew_at": now() - DAY}
    held = {"ssl_status": "paused", "ssl_finding": finding("caa_forbids")}
    by_tenant = {"ssl_status": "paused", "paused_from": "issued", "ssl_finding": finding("paused_by_tenant")}
    return {
        "well": await domain(control, acme, "shop.mybrand.co"),
        "other": await domain(control, zeta, "mybrand.co"),
        "failed": await domain(control, acme, "failed.test", **failed, renew_at=None),
        "refused": await domain(control, acme, "refused.test", **refused, cert_expiry=now() + 2 * DAY),
        "vault": await domain(control, zeta, "vault.test", **vault),
        "held": await domain(control, zeta, "held.test", **held),
        "paused": await domain(control, acme, "paused.test", **by_tenant, cert_expiry=now() + 5 * DAY),
        "ended": await domain(control, acme, "ended.test", cert_expiry=now() - DAY, renew_at=now() - 30 * DAY),
        "pending": await domain(
            control, zeta, "pending.test", status="pending", ssl_status="none", cert_expiry=None, renew_at=None
        ),
        "deleted": await domain(control, zeta, "deleted.mybrand.co", deleted_at=now()),
        "acme": acme,
        "zeta": zeta,
    }


async def names(watched: Watched, **wanted: Any) -> list[str]:
    return [row.hostname for row in await watched.overview.domains(ROOT, Wanted(**wanted), None, 100)]


async def test_each_list_has_the_domains_that_it_is_for(watched: Watched, fleet: dict[str, Any]) -> None:
    assert len(await names(watched)) == 9
    assert await names(watched, view="search", text="mybrand.co") == ["mybrand.co", "shop.mybrand.co"]
    assert await names(watched, view="search", text="shop") == ["shop.mybrand.co"]
    assert await names(watched, view="search", text="rand.co") == ["mybrand.co", "shop.mybrand.co"]
    assert await names(watched, view="search", text="%") == []
    assert await names(watched, view="search", text="shop_mybrand") == []
    assert await names(watched, view="search", text="\\") == []
    assert await names(watched, view="status", status="failed") == ["failed.test"]
    assert await names(watched, view="status", status="active", ssl_status="error") == ["refused.test", "vault.test"]
    assert await names(watched, view="tenant", tenant_id=fleet["zeta"]) == [
        "mybrand.co",
        "vault.test",
        "held.test",
        "pending.test",
    ]
    assert await names(watched, view="tenant", tenant_id=uuid4()) == []
    failing = ["held.test", "refused.test", "failed.test", "vault.test"]
    assert await names(watched, view="failing") == failing
    assert await names(watched, view="failing", code="caa_forbids") == ["held.test", "refused.test"]
    assert await names(watched, view="failing", who="operator") == ["vault.test"]
    assert await names(watched, view="paused") == ["held.test", "paused.test"]
    assert await names(watched, view="expiring", days=1) == ["ended.test"]
    assert await names(watched, view="expiring", days=30) == ["ended.test", "refused.test", "paused.test"]
    late = ["ended.test", "refused.test"]
    assert await names(watched, view="late") == late
    everybody = await watched.overview.domains(ROOT, Wanted(), None, 100)
    assert [row.hostname for row in everybody if row.late] == late


async def test_an_uploaded_certificate_ends_by_its_own_time(control: Control, watched: Watched) -> None:
    shop = await domain(control, await tenant(control, "acme"), "shop.test")
    upload = await control.fetchval(
        """INSERT INTO uploads
               (domain_id, serial, issuer, fingerprint, not_before, not_after, names, vault_version, due_at)
           VALUES ($1, '0a', 'CA', $2, now() - interval '1 day', now() + interval '3 days', '{}', 1, now())
           RETURNING id""",
        shop,
        "ab" * 32,
    )
    assert await names(watched, view="expiring", days=30) == []
    await control.execute("UPDATE custom_domains SET upload_id = $1, cert_expiry = now() WHERE id = $2", upload, shop)
    (row,) = await watched.overview.domains(ROOT, Wanted(view="expiring", days=30), None, 9)
    assert (row.uploaded, row.late) == (True, False)
    assert row.expires is not None
    assert timedelta(days=2) < row.expires - now() < timedelta(days=3)
    figures = await watched.overview.figures(ROOT)
    assert (figures.expired, figures.expiring) == (0, {1: 0, 7: 1, 30: 1})


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(),
        Wanted(view="search", text="e"),
        Wanted(view="search", text=".test"),
        Wanted(view="status", status="active"),
        Wanted(view="failing"),
        Wanted(view="paused"),
        Wanted(view="expiring", days=90),
        Wanted(view="late"),
    ],
    ids=lambda wanted: f"{wanted.view} {wanted.text or ''}",
)
async def test_pages_hold_every_domain_once(watched: Watched, fleet: dict[str, Any], wanted: Wanted) -> None:
    whole = await watched.overview.domains(ROOT, wanted, None, 100)
    paged: list[DomainRow] = []
    after: Place | None = None
    while page := await watched.overview.domains(ROOT, wanted, after, 2):
        paged += page
        after = page[-1].place
    assert [row.id for row in paged] == [row.id for row in whole]
    assert len({row.id for row in whole}) == len(whole) > 0


async def test_tenants_pages_too(watched: Watched, fleet: dict[str, Any]) -> None:
    wanted = Wanted(view="tenant", tenant_id=fleet["acme"])
    first = await watched.overview.domains(ROOT, wanted, None, 3)
    rest = await watched.overview.domains(ROOT, wanted, first[-1].place, 100)
    assert [row.hostname for row in (*first, *rest)] == await names(watched, view="tenant", tenant_id=fleet["acme"])


@pytest.mark.parametrize("keys", [("", "x"), ("2026", "no uuid"), ("a", "b", "c"), ("not a time", str(uuid4()))])
async def test_a_made_up_place_shows_nothing(watched: Watched, fleet: dict[str, Any], keys: tuple[str, ...]) -> None:
    for view in ("expiring", "tenant", "late"):
        assert await watched.overview.domains(ROOT, Wanted(view=view), Place(keys), 5) == []


async def test_one_domain_is_shown_whole_deleted_ones_too(watched: Watched, fleet: dict[str, Any]) -> None:
    facts = await watched.overview.domain(ROOT, fleet["vault"])
    assert facts.ssl is not None
    assert (facts.ssl.code, facts.ssl.who, facts.row.slug) == ("vault_unavailable", "operator", "zeta")
    assert (await watched.overview.domain(ROOT, fleet["deleted"])).row.deleted_at is not None
    with pytest.raises(DomainNotFound):
        await watched.overview.domain(ROOT, uuid4())


async def test_figures_are_what_the_lists_show(watched: Watched, fleet: dict[str, Any]) -> None:
    figures = await watched.overview.figures(ROOT)
    assert figures.domains == 9
    assert {(one.status, one.ssl_status): one.number for one in figures.states} == {
        ("active", "error"): 2,
        ("active", "issued"): 3,
        ("active", "paused"): 2,
        ("failed", "none"): 1,
        ("pending", "none"): 1,
    }
    assert [(one.code, one.who, one.number, one.example) for one in figures.failing] == [
        ("caa_forbids", "tenant", 2, "held.test"),
        ("txt_missing", "tenant", 1, "failed.test"),
        ("vault_unavailable", "operator", 1, "vault.test"),
    ]
    assert figures.paused == {"tenant": 1, "platform": 1}
    assert (figures.expired, figures.expiring, figures.late) == (1, {1: 0, 7: 2, 30: 2}, 2)


async def test_what_is_not_to_be_renewed_yet_is_not_late(control: Control, watched: Watched) -> None:
    """Not in the list, and not counted: a CA may say a day after the certificate's end (RFC 9773)."""
    await domain(control, await tenant(control, "acme"), "odd.test", renew_at=now() + DAY, cert_expiry=now() - 60 * DAY)
    assert await names(watched, view="late") == []
    figures = await watched.overview.figures(ROOT)
    assert (figures.expired, figures.late) == (1, 0)


async def test_they_are_counted_once_for_all_who_look(
    watched: Watched, fleet: dict[str, Any], control: Control
) -> None:
    first = await watched.overview.figures(ROOT)
    await control.execute("UPDATE custom_domains SET deleted_at = now() WHERE id = $1", fleet["well"])
    again = await watched.overview.figures(ROOT)
    assert (again.at, again.domains) == (first.at, 9)
    assert again.age >= first.age
    await control.execute("UPDATE overview_figures SET at = now() - interval '16 seconds'")
    assert (await watched.overview.figures(ROOT)).domains == 8
    # What takes ten seconds is done every thousand seconds, not every fifteen.
    await control.execute("UPDATE overview_figures SET at = now() - interval '16 seconds', took = 10000")
    assert (await watched.overview.figures(ROOT)).age > 15


async def test_what_a_release_before_has_counted_is_shown_until_it_is_counted_anew(
    watched: Watched, fleet: dict[str, Any], control: Control
) -> None:
    await watched.overview.figures(ROOT)
    await control.execute("UPDATE overview_figures SET figures = figures - 'uncovered'")
    assert (await watched.overview.figures(ROOT)).domains == 9


async def test_while_another_replica_counts_the_last_figures_are_shown(
    watched: Watched, fleet: dict[str, Any], control: Control
) -> None:
    await watched.overview.figures(ROOT)
    await control.execute("UPDATE overview_figures SET at = now() - interval '1 minute'")
    async with control.transaction():
        await control.fetchval("SELECT pg_advisory_xact_lock($1)", 0x6E616D656F766572)
        assert (await watched.overview.figures(ROOT)).age > 59


async def test_figures_that_take_too_long_are_those_of_before(
    watched: Watched, fleet: dict[str, Any], control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    await watched.overview.figures(ROOT)
    await control.execute("UPDATE overview_figures SET at = now() - interval '1 hour'")
    monkeypatch.setattr("control.domains.counts.STATES", "SELECT pg_sleep(60)")
    monkeypatch.setattr("control.domains.tenancy.STATEMENT_TIMEOUT", "200ms")
    figures = await watched.overview.figures(ROOT)
    assert (figures.domains, figures.age > 3599) == (9, True)
    # It is not tried again by everybody who looks.
    monkeypatch.setattr("control.domains.counts.STATES", STATES)
    assert (await watched.overview.figures(ROOT)).age > 3599
    await control.execute("DELETE FROM overview_figures")
    assert (await watched.overview.figures(ROOT)).age < 60


async def test_states_are_counted_from_their_index(control: Control, fleet: dict[str, Any]) -> None:
    await control.execute(NO_SCAN.replace("LOCAL", ""))
    plan = "\n".join(row[0] for row in await control.fetch(f"EXPLAIN {STATES}"))
    assert "Index Only Scan using idx_domains_states" in plan
    plan = "\n".join(row[0] for row in await control.fetch(f"EXPLAIN {ENDS}"))
    assert "Seq Scan on custom_domains" not in plan


async def test_no_list_reads_the_table(control: Control, fleet: dict[str, Any]) -> None:
    """Whatever the statistics say: each has an index to go by, in its order."""
    await control.execute("SET enable_seqscan = off")
    await control.execute("SET enable_sort = off")
    arguments = {
        "all": (Wanted(), ()),
        "status": (Wanted(status="active"), ()),
        "tenant": (Wanted(tenant_id=fleet["acme"]), ()),
        "failing": (Wanted(), ()),
        "paused": (Wanted(), ()),
        "expiring": (Wanted(), ()),
        "late": (Wanted(), ()),
    }
    for view, (wanted, keys) in arguments.items():
        query, values = STATEMENTS[view](wanted, keys)
        plan = "\n".join(row[0] for row in await control.fetch(f"EXPLAIN {_page(query)}", 20, *values))
        chosen = plan.partition("CTE chosen")[2].partition("->  CTE Scan")[0]
        assert "Seq Scan on custom_domains d" not in chosen, f"{view}:\n{plan}"
        assert "idx_" in chosen, f"{view}:\n{plan}"
