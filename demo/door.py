"""The platform's own page in miniature: a button for each tenant, which hands its person over to Nameplate's pages.

A hand-over link is good for a minute and once, so a platform makes one when the button is pressed. So does this.
"""

from __future__ import annotations

import asyncio
import html
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from demo.story import Story
from embedded.ports import LOOPBACK
from embedded.process import ServerFailed

STOP_GRACE = 2  # seconds

HandOver = Callable[[], Awaitable[str]]  # the link


class Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the demo has its own."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass(frozen=True, slots=True)
class Door:
    """`people`: who may be handed over, by the last part of the path."""

    port: int
    people: Mapping[str, HandOver]

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}/"

    def of(self, name: str) -> str:
        return self.url + name

    async def index(self, _request: Request) -> Response:
        buttons = "".join(f"<li><a href='/{html.escape(name)}'>{html.escape(name)}</a>" for name in self.people)
        return HTMLResponse(f"<!doctype html><html lang=en><title>The platform</title><h1>Domains of</h1><ul>{buttons}")

    async def enter(self, request: Request) -> Response:
        hand_over = self.people.get(request.path_params["name"])
        if hand_over is None:
            return PlainTextResponse("There is nobody of this name.", 404)
        try:
            return RedirectResponse(await hand_over(), 303)
        except ServerFailed as error:
            return PlainTextResponse(str(error), 502)


@asynccontextmanager
async def open_door(door: Door) -> AsyncIterator[Door]:
    """Until the block ends. It takes connections as soon as the block begins."""
    app = Starlette(routes=[Route("/", door.index), Route("/{name}", door.enter)])
    server = Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=STOP_GRACE,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[socket.create_server((LOOPBACK, door.port))]))
    try:
        yield door
    finally:
        server.should_exit = True
        await serving


def door_of(story: Story, port: int) -> Door:
    stack = story.stack
    tenants = {customer.name.lower(): partial(stack.hand_over, customer.token) for customer in (story.brand, story.crm)}

    async def operator() -> str:
        return await stack.hand_over(stack.identity.operator_token(), operator=True)

    return Door(port, {**tenants, "operator": operator})
