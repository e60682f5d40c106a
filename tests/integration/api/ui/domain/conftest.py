"""Somebody before the page of a domain, with all that the pages can offer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from scenes.looked_at import Seeing
from scenes.pages import Person
from scenes.served import Scripted
from starlette.types import ASGIApp

from api.auth import Principal
from api.ui.app import Ui
from core.domain import Domain

HOST = "shop.example.com"
FREE = "UPDATE custom_domains SET status = 'pending', deleted_at = now() WHERE tenant_id = $1"


@pytest.fixture
def witness() -> Seeing:
    return Seeing()


@pytest.fixture
def app(
    make_app: Callable[..., ASGIApp],
    pool: asyncpg.Pool[Any],
    ui: Ui,
    uploads: Callable[..., Any],
    scripted: Scripted,
    witness: Seeing,
) -> ASGIApp:
    return make_app(pool, ui=ui, uploads=uploads, diagnostician=scripted, witness=witness)


@pytest.fixture
def owner() -> Principal:
    return Principal(uuid4(), "alice")


@pytest.fixture
async def domain(
    add: Callable[[Principal, str], Awaitable[Domain]], owner: Principal, control: asyncpg.Connection[Any]
) -> AsyncIterator[Domain]:
    """The name is free again afterwards: the database is not emptied."""
    yield await add(owner, HOST)
    await control.execute(FREE, owner.tenant_id)


@pytest.fixture
def path(domain: Domain) -> str:
    return f"/ui/domains/{domain.id}"


@pytest.fixture
async def alice(enter: Callable[..., Awaitable[Person]], owner: Principal, domain: Domain) -> Person:
    """On the domain's page."""
    return await enter(owner, UUID(str(domain.id)))


@pytest.fixture
async def mallory(enter: Callable[..., Awaitable[Person]]) -> Person:
    """Of another tenant."""
    return await enter(Principal(uuid4(), "mallory"))
