"""The change feed in a database that pg_restore has brought to another server, whose transactions are fewer."""

from __future__ import annotations

from control.housekeeping import tidy

FAR = 10**12  # a transaction that no test's server comes to


async def test_changes_of_another_server_become_ours_and_the_feed_another_one(pool, add_domain) -> None:
    await add_domain("shop.example", job=None, status="active")
    await of_another_server(pool)
    before = await pool.fetchrow("SELECT id, pruned_xid::text::bigint AS pruned FROM feed")
    assert await tidy(pool)
    feed = await pool.fetchrow("SELECT id, pruned_xid::text::bigint AS pruned FROM feed")
    assert feed["id"] != before["id"]
    assert (before["pruned"], feed["pruned"]) == (FAR - 1, 0)
    changes = await pool.fetch(
        """SELECT key, ended, at < now() AS kept_its_time, xid < pg_current_xact_id() AS ours FROM changes
           WHERE kind = 'domain'"""
    )
    assert {tuple(row) for row in changes} == {("shop.example", None, True, True)}


async def test_a_feed_of_this_server_stays_as_it_is(pool, add_domain) -> None:
    await add_domain("shop.example", job=None, status="active")
    before = [await pool.fetch("SELECT * FROM feed"), await pool.fetch("SELECT * FROM changes")]
    assert await tidy(pool)
    assert [await pool.fetch("SELECT * FROM feed"), await pool.fetch("SELECT * FROM changes")] == before


async def of_another_server(pool) -> None:
    rows = await pool.fetch("DELETE FROM changes RETURNING kind, key, at, ended")
    for number, row in enumerate(rows):
        await pool.execute(
            "INSERT INTO changes (xid, kind, key, at, ended) VALUES ($1::text::xid8, $2, $3, $4, $5)",
            str(FAR + number),
            *row.values(),
        )
    await pool.execute("UPDATE feed SET pruned_xid = $1::text::xid8", str(FAR - 1))
