"""PostgreSQL as a role of ours finds it: the session, who may see what, and whether LISTEN works.

Of use beside a sidecar too, where there is nothing of control.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

import asyncpg

from cli.doctor.finding import Finding, found, well
from core.database import Access, trouble
from core.hearing import Deaf, check_hearing, pooled

OLDEST = 160000
WITHIN = 5.0  # seconds to connect, and for a statement
ECHO = 2.0  # seconds for a notification to come back

Connection: TypeAlias = "asyncpg.Connection[Any]"

# What asyncpg raises while there is no PostgreSQL. TimeoutError is an OSError.
AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

ATTRIBUTES = """SELECT current_user AS name,
    (SELECT array_agg(label) FROM (VALUES (rolsuper, 'SUPERUSER'), (rolbypassrls, 'BYPASSRLS'),
        (rolcreaterole, 'CREATEROLE'), (rolcreatedb, 'CREATEDB'), (rolreplication, 'REPLICATION')) v (has, label)
     WHERE has) AS might,
    ARRAY(SELECT a.rolname FROM pg_auth_members m JOIN pg_roles a ON a.oid = m.roleid WHERE m.member = r.oid) AS above,
    (SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl) AS tls
FROM pg_roles r WHERE rolname = current_user"""
# The list of migrations has no row of a tenant.
OPEN_TABLES = """SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND c.relname <> 'schema_migrations'
    AND NOT (c.relrowsecurity AND c.relforcerowsecurity) ORDER BY 1"""
UNREADABLE = """SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relname ~ $1 AND c.relkind = ANY($2::text[]::"char"[])
    AND NOT has_table_privilege(c.oid, 'SELECT') ORDER BY 1"""
WRITABLE = """SELECT c.oid::regclass::text AS relation, right_ FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace, unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) right_
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND right_ = ANY($1::text[])
    AND has_table_privilege(c.oid, right_) ORDER BY 1, 2"""


@dataclass(frozen=True, slots=True)
class Role:
    """`what`: in findings. `variable`: of its URL. `reads`: (kinds of relation, their names) of which it reads each.

    `never`: rights that it has on no relation.
    """

    name: str
    what: str
    variable: str
    access: Access
    reads: tuple[Sequence[str], str]
    never: Sequence[str]


Look = Callable[[Connection, Role], Awaitable[Sequence[Finding]]]


async def examine(role: Role, looks: Sequence[Look]) -> Sequence[Finding]:
    """What each of the looks finds, over one connection; through a pooler as well."""
    try:
        connection = await replace(role.access, pooled=True).connect(WITHIN, command_timeout=WITHIN)
    except (*AWAY, ValueError) as error:
        return [found("postgresql_unreachable", role.what, trouble(error), variable=role.variable)]
    findings: list[Finding] = []
    try:
        name = await connection.fetchval("SELECT current_user")
        if name != role.name:  # what another role may see and do is no fault of it
            seen = f"connected as {name}"
            return [found("postgresql_wrong_role", role.what, seen, role=role.name, variable=role.variable)]
        for look in looks:
            findings += await look(connection, role)
    except asyncpg.UndefinedTableError:
        findings.append(found("migrations_missing", "migrations", "the database was never migrated"))
    except asyncpg.InsufficientPrivilegeError as error:
        findings.append(found("postgresql_wrong_role", role.what, str(error), role=role.name, variable=role.variable))
    except AWAY as error:
        findings.append(found("postgresql_unreachable", role.what, trouble(error), variable=role.variable))
    finally:
        connection.terminate()
    return findings


async def session(connection: Connection, role: Role) -> Sequence[Finding]:
    """Who we are there, and over what."""
    version = int(await connection.fetchval("SHOW server_version_num"))
    if version < OLDEST:
        return [found("postgresql_old", role.what, f"version {version // 10000}")]
    row = await connection.fetchrow(ATTRIBUTES)
    name = row["name"]
    findings = []
    if row["might"]:
        findings.append(found("postgresql_role_mighty", role.what, f"{name} is {', '.join(row['might'])}", role=name))
    findings += [
        found("postgresql_role_member", role.what, f"{name} may act as {above}", above=above, role=name)
        for above in row["above"]
    ]
    findings += _transport(role, row["tls"])
    seen = f"version {version // 10000}.{version % 10000}, as {name}, {row['tls'] or 'without TLS'}"
    return findings or [well(role.what, seen)]


def _transport(role: Role, tls: str | None) -> Sequence[Finding]:
    url = urlsplit(role.access.url)
    options = {name: values[-1] for name, values in parse_qs(url.query).items()}
    mode = options.get("sslmode", "prefer")
    if mode in ("verify-ca", "verify-full") or _is_here(options.get("host") or url.hostname or "/"):
        return []
    if tls is None and mode != "require":
        return [found("postgresql_in_clear", role.what, "no TLS", variable=role.variable)]
    return [found("postgresql_unverified", role.what, f"TLS with sslmode={mode}", variable=role.variable)]


def _is_here(host: str) -> bool:
    if host.startswith("/") or host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


async def tables(connection: Connection, _role: Role) -> Sequence[Finding]:
    """Row level security holds the tables' owner too, or there is none."""
    what = "row level security"
    open_ = [row[0] for row in await connection.fetch(OPEN_TABLES)]
    findings = [
        found("rls_not_forced", what, f"{table} has none, or not for its owner", table=table) for table in open_
    ]
    return findings or [well(what, "forced on every table")]


async def rights(connection: Connection, role: Role) -> Sequence[Finding]:
    what = f"rights of {role.name}"
    kinds, names = role.reads
    lacking = [row[0] for row in await connection.fetch(UNREADABLE, names, list(kinds))]
    excess = await connection.fetch(WRITABLE, list(role.never))
    findings = [
        *(
            found("postgresql_right_missing", what, f"no SELECT on {one}", relation=one, role=role.name)
            for one in lacking
        ),
        *(
            found(
                "postgresql_right_excess",
                what,
                f"{row['right_']} on {row['relation']}",
                right=row["right_"],
                relation=row["relation"],
                role=role.name,
            )
            for row in excess
        ),
    ]
    return findings or [well(what, "what it needs")]


async def isolation(connection: Connection, role: Role) -> Sequence[Finding]:
    """Without a tenant nothing is seen. (That a tenant sees its own alone is what the policies say.)"""
    what = "tenants apart"
    if await connection.fetchval("SELECT count(*) FROM custom_domains"):
        return [found("tenants_not_apart", what, "rows are seen without a tenant", variable=role.variable)]
    return [well(what, "nothing is seen without a tenant")]


async def hearing(access: Access, other: Access, variables: Mapping[str, str]) -> Sequence[Finding]:
    """`access`: where LISTEN goes. `other`: where all else does. `variables`: `url` and `listen`."""
    what = "LISTEN"
    access = replace(access, pooled=True)
    try:
        connection = await access.connect(WITHIN, command_timeout=WITHIN)
    except (*AWAY, ValueError) as error:
        return [found("postgresql_unreachable", what, trouble(error), variable=variables["listen"])]
    try:
        through = await pooled(connection, WITHIN)
        await check_hearing(connection, access, variables["listen"], ECHO)
    except Deaf as error:
        return [found("listener_behind_pooler", what, str(error), variable=variables["listen"])]
    except AWAY as error:
        return [found("postgresql_unreachable", what, trouble(error), variable=variables["url"])]
    finally:
        connection.terminate()
    beside = " beside a pooler" if other.url != access.url else ""
    return [well(what, f"hears, through a pooler in session mode{beside}" if through else f"hears{beside}")]
