"""The pages on a real database and a real Vault, with people before them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from scenes.pages import Person, browser
from starlette.types import ASGIApp

from api.auth import Operator, Principal
from api.ui.app import Ui
from embedded.background import Background
from embedded.database import Database
from embedded.openbao import OpenBao
from embedded.vault_mount import VaultMount


@pytest.fixture
def database(api_database: Database) -> Database:
    """Not emptied: each test has tenants of its own."""
    return api_database


@pytest.fixture(scope="session")
def shared_mount(background: Background, openbao: OpenBao) -> VaultMount:
    return background.run(VaultMount.create(openbao, "pages"))


@pytest.fixture
def vault_mount(shared_mount: VaultMount) -> VaultMount:
    return shared_mount


@pytest.fixture
def app(make_app: Callable[..., ASGIApp], pool: asyncpg.Pool[Any], ui: Ui) -> ASGIApp:
    return make_app(pool, ui=ui)


@pytest.fixture
async def new_person(app: ASGIApp) -> AsyncIterator[Callable[[], Person]]:
    """`new_person()`: with a browser of its own, before no page yet."""
    made: list[httpx.AsyncClient] = []

    def make() -> Person:
        made.append(browser(app))
        return Person(made[-1])

    yield make
    for client in made:
        await client.aclose()


@pytest.fixture
def enter(new_person: Callable[[], Person], ui: Ui) -> Callable[..., Awaitable[Person]]:
    """`await enter(who, domain)`: somebody who has come by a link."""

    async def come(who: Principal | Operator, domain: UUID | None = None) -> Person:
        person = new_person()
        await person.open((await ui.links.make(who, domain)).url)
        return person

    return come


@pytest.fixture
async def alice(enter: Callable[..., Awaitable[Person]]) -> Person:
    return await enter(Principal(uuid4(), "alice"))
