"""Where control's PostgreSQL is: the settings of the two roles that it connects as, and of the one that migrates."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings

from core.database import Access
from core.settings import PostgresqlUrl, access

LISTEN = "PostgreSQL itself, where {} leads to a pooler in transaction mode, such as PgBouncer (docs/postgresql.md)."


class OwnerDatabase(BaseSettings):
    owner_database_url: PostgresqlUrl = Field(
        description="PostgreSQL, as a role that may create roles and own the tables."
    )
    owner_database_password_file: Path | None = Field(None, description="That role's password, instead of in the URL.")

    @model_validator(mode="after")
    def _owner_access(self) -> Self:
        self.owner_access()
        return self

    def owner_access(self) -> Access:
        return access("OWNER_DATABASE", self.owner_database_url, self.owner_database_password_file)


class ControlDatabase(BaseSettings):
    control_database_url: PostgresqlUrl = Field(description="PostgreSQL, as role nameplate_control.")
    control_database_password_file: Path | None = Field(
        None, description="That role's password, instead of in the URL; read for each connection."
    )
    control_listen_database_url: PostgresqlUrl | None = Field(
        None, description=LISTEN.format("NAMEPLATE_CONTROL_DATABASE_URL")
    )

    @model_validator(mode="after")
    def _control_access(self) -> Self:
        self.control_access()
        self.control_listen_access()
        return self

    def control_access(self) -> Access:
        pooled = self.control_listen_database_url is not None
        return access("CONTROL_DATABASE", self.control_database_url, self.control_database_password_file, pooled=pooled)

    def control_listen_access(self) -> Access:
        url = self.control_listen_database_url or self.control_database_url
        return access("CONTROL_LISTEN_DATABASE", url, self.control_database_password_file)


class ApiDatabase(BaseSettings):
    api_database_url: PostgresqlUrl = Field(description="PostgreSQL, as role nameplate_api.")
    api_database_password_file: Path | None = Field(
        None, description="That role's password, instead of in the URL; read for each connection."
    )

    @model_validator(mode="after")
    def _api_access(self) -> Self:
        self.api_access()
        return self

    def api_access(self) -> Access:
        """It has no listener of its own: where control's has an address of its own, a pooler is before both roles."""
        pooled = getattr(self, "control_listen_database_url", None) is not None
        return access("API_DATABASE", self.api_database_url, self.api_database_password_file, pooled=pooled)
