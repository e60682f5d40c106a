from __future__ import annotations

from control.housekeeping import tidy


async def test_old_changes_go_and_the_feed_says_up_to_where(pool, add_domain) -> None:
    await pool.execute("UPDATE feed SET pruned_xid = '0'")
    old = await add_domain("old.example", job=None, status="active")
    await pool.execute("UPDATE custom_domains SET status = 'verified' WHERE id = $1", old)
    newest = await pool.fetchval("SELECT max(xid::text::bigint) FROM changes")
    await _age_changes(pool)
    await add_domain("new.example", job=None, status="active")
    assert await tidy(pool)
    kept = [row["key"] for row in await pool.fetch("SELECT key FROM changes WHERE kind = 'domain'")]
    assert kept == ["new.example"]
    assert await pool.fetchval("SELECT pruned_xid::text::bigint FROM feed") == newest


async def _age_changes(pool) -> None:
    """The workers may not update the feed, so the old rows are written as old."""
    rows = await pool.fetch("DELETE FROM changes RETURNING xid::text AS xid, kind, key")
    for row in rows:
        await pool.execute(
            "INSERT INTO changes (xid, kind, key, at) VALUES ($1::text::xid8, $2, $3, now() - interval '2 days')",
            row["xid"],
            row["kind"],
            row["key"],
        )


async def test_expired_challenges_go_and_live_ones_stay(pool, add_domain) -> None:
    domain_id = await add_domain("a.example")
    for token, age in (("old", "-2 hours"), ("live", "1 hour")):
        await pool.execute(
            """INSERT INTO challenges (token, domain_id, key_authorization, expires_at)
               VALUES ($1, $2, 'x', now() + $3::text::interval)""",
            token,
            domain_id,
            age,
        )
    await tidy(pool)
    assert [row["token"] for row in await pool.fetch("SELECT token FROM challenges")] == ["live"]


async def test_two_replicas_do_not_tidy_at_once(pool) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", 0x6E616D65686F7573)
        assert not await tidy(pool)
    assert await tidy(pool)


async def test_a_domain_that_was_forgotten_gets_its_job_back(pool, add_domain) -> None:
    wanted = {
        (await add_domain("p.example", job=None, status="pending"), "verify"),
        (await add_domain("v.example", job=None, status="verified"), "obtain"),
    }
    await add_domain("a.example", job=None, status="active")
    await add_domain("f.example", job=None, status="failed")
    await tidy(pool)
    assert {(row["domain_id"], row["kind"]) for row in await pool.fetch("SELECT * FROM jobs")} == wanted


async def test_old_notifications_go_once_they_are_settled_and_what_waits_stays(pool) -> None:
    endpoint = await pool.fetchval(
        """INSERT INTO notification_endpoints (tenant_id, kind, address)
           VALUES (gen_random_uuid(), 'email', 'a') RETURNING id"""
    )
    for name, dispatched, state, days in (
        ("untold", False, None, None),
        ("told nobody", True, None, None),
        ("waits", True, "pending", None),
        ("delivered", True, "delivered", 31),
        ("dead", True, "dead", 31),
        ("delivered lately", True, "delivered", 29),
        ("dead lately", True, "dead", 29),
    ):
        event = await pool.fetchval(
            """INSERT INTO outbox (event, payload, created_at, dispatched_at)
               VALUES ($1, '{}', now() - interval '40 days', CASE WHEN $2 THEN now() END) RETURNING id""",
            name,
            dispatched,
        )
        if state is not None:
            await pool.execute(
                """INSERT INTO deliveries (endpoint_id, outbox_id, lane, state, settled_at)
                   VALUES ($1, $2, $1, $3, now() - $4 * interval '1 day')""",
                endpoint,
                event,
                state,
                days,
            )
    await tidy(pool)
    kept = {row["event"] for row in await pool.fetch("SELECT event FROM outbox")}
    assert kept == {"untold", "waits", "delivered lately", "dead lately"}
