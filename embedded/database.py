"""A database with our schema in an embedded PostgreSQL, and the addresses of the roles that use it."""

from __future__ import annotations

from dataclasses import dataclass

from control.db.migrate import migrate
from embedded.postgres import Postgres

OWNER = "nameplate_owner"  # no superuser: row level security and missing grants must show
CREATE_OWNER = f"""
DO $$
BEGIN
    CREATE ROLE {OWNER} LOGIN CREATEROLE;
EXCEPTION WHEN duplicate_object THEN
    NULL;
END
$$
"""


@dataclass(frozen=True, slots=True)
class Database:
    """A database of ours; the role names are those of the migrations."""

    postgres: Postgres
    name: str

    @classmethod
    async def create(cls, postgres: Postgres, name: str) -> Database:
        """Create a database owned by a role that is no superuser, and migrate it."""
        await postgres.execute(CREATE_OWNER)
        await postgres.create_database(name, owner=OWNER)
        database = cls(postgres, name)
        await migrate(database.owner_dsn)
        return database

    async def copy(self, name: str) -> Database:
        """A new database with the same contents; nobody may be connected to this one meanwhile."""
        await self.postgres.create_database(name, template=self.name, owner=OWNER)
        return Database(self.postgres, name)

    async def drop(self) -> None:
        """Drop it, cutting its connections."""
        await self.postgres.drop_database(self.name)

    @property
    def owner_dsn(self) -> str:
        return self.postgres.dsn(self.name, OWNER)

    @property
    def control_dsn(self) -> str:
        return self.postgres.dsn(self.name, "nameplate_control")

    @property
    def api_dsn(self) -> str:
        return self.postgres.dsn(self.name, "nameplate_api")

    @property
    def sidecar_dsn(self) -> str:
        return self.postgres.dsn(self.name, "nameplate_sidecar")

    @property
    def superuser_dsn(self) -> str:
        """For what no part of ours may do, such as terminating another role's backend."""
        return self.postgres.dsn(self.name)

    async def statement_count(self) -> int:
        """How many statements have been executed in this database so far, by anyone."""
        return await self.postgres.statement_count(self.name)
