"""Sidecars read the whole edge again at each change of it: so a change is what they would read, and nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
from scenes.hierarchy import Hierarchy, issue

from api.admin.upstreams import Upstreams
from api.auth import Operator
from api.conditions import ALWAYS
from control.services.identities import sweep
from control.services.trust import read_unread
from control.vault import Vault
from core.certificate import Certificate
from core.trust import TrustBundle

Said = Callable[[], Awaitable[int]]

FACTS = """serial = 'ab', issuer = 'CA', fingerprint = repeat('f', 64), names = '{a}', not_before = now(),
    not_after = now(), vault_version = 1, withdrawn_at = NULL"""

# What makes rows a and b, what changes them and is seen, and what is not seen.
TABLES = {
    "trust": (
        "INSERT INTO trust (name, pem) VALUES ('a', ''), ('b', '')",
        ["SET pem = name || 'pem'", "SET name = name || '2'"],
        ["SET updated_at = now()", "SET authorities = '[]'", "SET pem = pem"],
    ),
    "services": (
        "INSERT INTO services (name, spec) VALUES ('a', '{}'), ('b', '{}')",
        ["""SET spec = '{"tls": null}'""", "SET name = name || '2'"],
        ["SET updated_at = now()", """SET spec = '{ "tls" : null}'"""],
    ),
    "client_auth": (
        """INSERT INTO client_auth (domain_id, mode, lookup, identity_by, ca_pem, ca_until)
            SELECT id, 'required', true, '{san}', 'pem', now() FROM custom_domains""",
        ["SET mode = 'optional'", "SET crl_pem = 'pem', crl_until = now()", "SET lookup = false"],
        ["SET ca_warned = 7, crl_warned = 8", "SET ca_until = now()", "SET updated_at = now()"],
    ),
    "consumers": (
        """INSERT INTO consumers (tenant_id, name, kind, value)
            SELECT id, 'it', 'san', 'dns:' || slug FROM tenants""",
        ["SET groups = '{a}'", "SET value = value || 'x'"],
        ["SET updated_at = now()", "SET groups = '{a}'"],
    ),
}


@pytest.fixture
def said(pool: Any) -> Said:
    """How many changes of the edge there were since the last call."""

    async def count() -> int:
        rows = await pool.fetch("DELETE FROM changes WHERE kind = 'edge' RETURNING key")
        assert all(row["key"] == "" for row in rows)
        return len(rows)

    return count


@pytest.mark.parametrize("table", TABLES)
async def test_a_statement_is_one_change_however_many_rows_and_none_where_nothing_is_seen(
    pool: Any, said: Said, add_domain: Callable[..., Awaitable[UUID]], table: str
) -> None:
    for hostname in ("a.example.com", "b.example.com"):
        await add_domain(hostname, job=None, status="active")
    insert, seen, unseen = TABLES[table]
    await said()
    await pool.execute(insert)
    assert await said() == 1
    for change in seen:
        await pool.execute(f"UPDATE {table} {change}")
        assert await said() == 1, change
    for change in unseen:
        await pool.execute(f"UPDATE {table} {change}")
        assert await said() == 0, change
    await pool.execute(f"UPDATE {table} {seen[0]} WHERE false")
    await pool.execute(f"DELETE FROM {table} WHERE false")
    assert await said() == 0
    await pool.execute(f"DELETE FROM {table}")
    assert await said() == 1


async def test_an_identity_is_a_change_while_it_is_in_force(pool: Any, said: Said) -> None:
    for statement, changes in (
        ("INSERT INTO identities (name, withdrawn_at) VALUES ('a', now()), ('b', now())", 0),
        ("UPDATE identities SET withdrawn_at = now(), claimed_until = now()", 0),
        (f"UPDATE identities SET {FACTS} WHERE name = 'a'", 1),
        ("UPDATE identities SET updated_at = now(), issuer = 'other'", 0),
        ("UPDATE identities SET vault_version = 2", 1),
        ("UPDATE identities SET withdrawn_at = now()", 1),
        ("UPDATE identities SET vault_version = 3", 0),
        ("DELETE FROM identities WHERE name = 'a'", 0),
        (f"UPDATE identities SET {FACTS}", 1),
        ("DELETE FROM identities", 1),
    ):
        await pool.execute(statement)
        assert await said() == changes, statement


async def test_the_birth_and_the_end_of_what_an_operator_makes_are_a_change_each(
    pool: Any, vault: Vault, upstreams: Upstreams, root: Operator, said: Said
) -> None:
    made = Hierarchy.of("edge.platform.io")
    await upstreams.identities.put(root, "edge", Certificate.parse(made.chain, made.leaf.key_pem), ALWAYS)
    assert await said() == 1
    await upstreams.identities.delete(root, "edge", ALWAYS)
    assert await sweep(pool, vault, after=0) == 1
    assert await said() == 1
    await upstreams.trust.put(root, "internal", TrustBundle.parse(issue("Root", ca=True).pem), ALWAYS)
    await pool.execute("UPDATE trust SET authorities = NULL")
    await read_unread(pool)
    assert await said() == 1
