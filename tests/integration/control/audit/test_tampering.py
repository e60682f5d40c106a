"""Each way to change the audit log, as a superuser past all triggers, and what the verifier says of it."""

from __future__ import annotations

from uuid import UUID

import pytest

from control.audit.canonical import Entry, seal
from control.audit.chain import Link
from control.audit.verify import LINKS

A, B = UUID(int=0xA), UUID(int=0xB)

ID = "(SELECT audit_id FROM audit_seals WHERE tenant_id = '{tenant}' AND seq = {seq})"


def row(seq: int, tenant: UUID = A) -> str:
    """The audit.id of a place."""
    return ID.format(tenant=tenant, seq=seq)


def changed(what: str) -> tuple[str, list[tuple[str, UUID, int, int]]]:
    return f"UPDATE audit SET {what} WHERE id = {row(4)}", [("changed", A, 4, 4)]


SWAP = """UPDATE audit a SET (at, domain_id, hostname, actor, action, detail) =
    (SELECT at, domain_id, hostname, actor, action, detail FROM audit b WHERE b.id <> a.id AND b.id IN ({one}, {other}))
    WHERE id IN ({one}, {other})"""
SWAP_SEALS = """UPDATE audit_seals SET seq = -seq WHERE tenant_id = '{tenant}' AND seq IN ({one}, {other});
    UPDATE audit_seals SET seq = CASE seq WHEN -{one} THEN {other} ELSE {one} END
    WHERE tenant_id = '{tenant}' AND seq < 0"""
DELETE_FROM = """DELETE FROM audit WHERE tenant_id = '{tenant}' AND id >= {row};
    DELETE FROM audit_seals WHERE tenant_id = '{tenant}' AND seq >= {seq}"""
HEAD_AT = """UPDATE audit_heads h SET seq = s.seq, hash = s.hash, anchored = {anchored}
    FROM audit_seals s WHERE s.tenant_id = h.tenant_id AND s.seq = {seq} AND h.tenant_id = '{tenant}'"""

TAMPERING = {
    "another actor": changed("actor = 'tenant:mallory'"),
    "another action": changed("action = 'activate'"),
    "another hostname": changed("hostname = 'xn--bcher-kva.example'"),
    "another detail": changed("""detail = '{"to": "y", "n": 1.50, "from": null}'"""),
    "a detail of the same value": changed("""detail = '{"to": "x", "n": 1.5, "from": null}'"""),
    "a microsecond": changed("at = at + interval '1 microsecond'"),
    "no time at all": changed("at = 'infinity'"),
    "a time before there was one": changed("at = '-infinity'"),
    "another domain": changed("domain_id = gen_random_uuid()"),
    "another tenant": changed(f"tenant_id = '{B}'"),
    "two parts that have run together": changed("hostname = hostname || 'c', actor = substr(actor, 2)"),
    "a row's end": (
        f"DELETE FROM audit WHERE id = {row(4)}",
        [("removed", A, 4, 4)],
    ),
    "a row and its seal": (
        f"DELETE FROM audit WHERE id = {row(4)}; DELETE FROM audit_seals WHERE tenant_id = '{A}' AND seq = 4",
        [("removed", A, 4, 4)],
    ),
    "the first row and its seal": (
        f"DELETE FROM audit WHERE id = {row(1)}; DELETE FROM audit_seals WHERE tenant_id = '{A}' AND seq = 1",
        [("removed", A, 1, 1)],
    ),
    "some rows and their seals": (
        f"""DELETE FROM audit WHERE id BETWEEN {row(3)} AND {row(5)} AND tenant_id = '{A}';
            DELETE FROM audit_seals WHERE tenant_id = '{A}' AND seq BETWEEN 3 AND 5""",
        [("removed", A, 3, 5)],
    ),
    "a row, and those after it moved up": (
        f"""DELETE FROM audit WHERE id = {row(4)}; DELETE FROM audit_seals WHERE tenant_id = '{A}' AND seq = 4;
            UPDATE audit_seals SET seq = -seq WHERE tenant_id = '{A}' AND seq > 4;
            UPDATE audit_seals SET seq = -seq - 1 WHERE tenant_id = '{A}' AND seq < 0;
            {HEAD_AT.format(tenant=A, seq=7, anchored=7)}""",
        # The last one stands now where the checkpoint has seen the one before it.
        [("changed", A, 3, 3), ("changed", A, 4, 7)],
    ),
    "a seal": (
        f"DELETE FROM audit_seals WHERE tenant_id = '{A}' AND seq = 4",
        [("removed", A, 4, 4), ("unsealed", A, 0, 0)],
    ),
    "the last row and its seal": (
        DELETE_FROM.format(tenant=A, seq=8, row=row(8)),
        [("removed", A, 8, 8)],
    ),
    "the last rows, their seals, and the head moved back": (
        f"{DELETE_FROM.format(tenant=A, seq=6, row=row(6))}; {HEAD_AT.format(tenant=A, seq=5, anchored=5)}",
        [("removed", A, 6, 7)],  # 8 was not covered by a checkpoint yet
    ),
    "a whole tenant": (
        f"""DELETE FROM audit WHERE tenant_id = '{B}'; DELETE FROM audit_seals WHERE tenant_id = '{B}';
            DELETE FROM audit_heads WHERE tenant_id = '{B}'""",
        [("removed", B, 1, 3), ("removed", B, 0, 0)],
    ),
    "a tenant's rows only": (
        f"DELETE FROM audit WHERE tenant_id = '{B}'",
        [("removed", B, 1, 1), ("removed", B, 2, 2), ("removed", B, 3, 3)],
    ),
    "two rows' contents exchanged": (
        SWAP.format(one=row(3), other=row(6)),
        [("reordered", A, 3, 3), ("reordered", A, 6, 6)],
    ),
    "two neighbours' contents exchanged": (
        SWAP.format(one=row(5), other=row(6)),
        [("reordered", A, 5, 5), ("reordered", A, 6, 6)],
    ),
    "two seals exchanged": (
        SWAP_SEALS.format(tenant=A, one=3, other=6),
        [("reordered", A, 3, 3), ("reordered", A, 4, 4), ("reordered", A, 6, 6), ("reordered", A, 7, 7)],
    ),
    "two neighbours' seals exchanged": (
        SWAP_SEALS.format(tenant=A, one=5, other=6),
        [("reordered", A, 5, 5), ("reordered", A, 6, 6), ("reordered", A, 7, 7)],
    ),
    "the rows of two tenants exchanged": (
        SWAP.format(one=row(3), other=row(2, B)),
        [("changed", A, 3, 3), ("changed", B, 2, 2)],
    ),
    "a row that was put in past the triggers": (
        f"INSERT INTO audit (tenant_id, domain_id, hostname, actor, action) VALUES ('{A}', '{A}', 'x', 'x', 'x')",
        [("unsealed", A, 0, 0)],
    ),
    "a head's end": (f"UPDATE audit_heads SET seq = 7 WHERE tenant_id = '{A}'", [("unanchored", A, 8, 8)]),
    "a head's hash": (f"UPDATE audit_heads SET hash = sha256('x') WHERE tenant_id = '{A}'", [("changed", A, 8, 8)]),
    "a head": (f"DELETE FROM audit_heads WHERE tenant_id = '{A}'", [("removed", A, 8, 8)]),
    "what a head says to be covered": (
        f"UPDATE audit_heads SET anchored = 8 WHERE tenant_id = '{A}'",
        [("unanchored", A, 8, 8)],
    ),
    "a checkpoint's heads": (
        f"UPDATE audit_checkpoints SET heads = heads - '{B}' WHERE number = 1",
        [("changed", None, 1, 1)],
    ),
    "heads that cannot be read": (
        "UPDATE audit_checkpoints SET heads = '[1, {\"a\": []}]' WHERE number = 1",
        [("changed", None, 1, 1)],
    ),
    "the first checkpoint": ("DELETE FROM audit_checkpoints WHERE number = 1", [("removed", None, 1, 1)]),
    "the last checkpoint": (
        "DELETE FROM audit_checkpoints WHERE number = 2; UPDATE audit_heads SET anchored = least(anchored, 3)",
        [("removed", None, 2, 2), ("unanchored", B, 3, 3)],
    ),
    "everything": (
        "TRUNCATE audit, audit_seals, audit_heads, audit_checkpoints",
        [("removed", None, 1, 2)],
    ),
}


async def test_an_untouched_log_is_whole(kept) -> None:
    report = await kept.verify()
    assert report.findings == []
    assert (report.rows, report.tenants, report.checkpoints) == (11, 2, 2)
    assert (await kept.verify(B)).rows == 3


@pytest.mark.parametrize("what", TAMPERING)
async def test_tampering_is_found_and_the_row_named(kept, what: str) -> None:
    statements, expected = TAMPERING[what]
    await kept.tamper(statements)
    assert sorted(await kept.found(), key=str) == sorted(expected, key=str)


async def test_the_finding_names_the_row(kept) -> None:
    audit_id = await kept.superuser.fetchval(f"SELECT {row(4)}")
    await kept.tamper(f"UPDATE audit SET actor = 'x' WHERE id = {audit_id}")
    (finding,) = (await kept.verify()).findings
    assert finding.audit_id == audit_id


async def links(kept, tenant: UUID) -> list[Link]:
    rows = await kept.superuser.fetch(LINKS, tenant)
    return [Link(one["seq"], one["audit_id"], one["previous"], one["hash"], Entry.from_row(one)) for one in rows]


async def reseal(kept, first: int, last: int) -> None:
    """Make the seals of A anew, as one can who knows how they are made."""
    previous = b""
    for link in await links(kept, A):
        if first <= link.seq <= last:
            assert link.entry is not None
            before = previous if link.seq > first else link.previous
            previous = seal(before, link.entry)
            await kept.tamper(
                f"""UPDATE audit_seals SET previous = '\\x{before.hex()}', hash = '\\x{previous.hex()}'
                    WHERE tenant_id = '{A}' AND seq = {link.seq}"""
            )


async def test_a_row_that_was_changed_with_its_seal_is_given_away_by_the_next_one(kept) -> None:
    await kept.tamper(f"UPDATE audit SET actor = 'x' WHERE id = {row(4)}")
    await reseal(kept, 4, 4)
    assert await kept.found() == [("changed", A, 4, 4)]


async def test_a_chain_that_was_made_anew_to_its_end_is_given_away_by_the_checkpoints(kept) -> None:
    await kept.tamper(f"UPDATE audit SET actor = 'x' WHERE id = {row(5)}")
    await reseal(kept, 5, 8)
    await kept.tamper(HEAD_AT.format(tenant=A, seq=8, anchored=7))
    assert await kept.found() == [("changed", A, 4, 7)]  # between the first checkpoint and the second


async def test_checkpoints_that_were_made_anew_are_given_away_by_vault(kept) -> None:
    await kept.tamper(
        f"""UPDATE audit_checkpoints SET heads = heads - '{B}' WHERE number = 2;
            UPDATE audit_checkpoints SET hash = audit_digest_v1(ARRAY[encode(previous, 'hex'), '2', heads::text])
            WHERE number = 2"""
    )
    assert [code for code, *_ in await kept.found()] == ["unanchored", "unanchored"]
