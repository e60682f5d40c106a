"""A request as a span: by its route, with what it was answered; probes and streams are none."""

from __future__ import annotations

import httpx
import pytest
from prometheus_client import CollectorRegistry
from scenes.traced import PARENT, TRACE, Traced, traced
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.exchange import Exchange, RequestMetrics, is_traced
from core import trace


async def answer(request: Request) -> Response:
    request.state.tenant_id = "tenant-1"
    if request.path_params["id"] == "fault":
        raise RuntimeError("hunter2")
    with trace.span("part"):
        return Response(status_code=int(request.path_params["id"]))


@pytest.fixture
def scene():
    with traced() as scene:
        yield scene


@pytest.fixture
async def client(scene: Traced):
    routes = [Route(path, answer, methods=["GET", "POST"]) for path in ("/domains/{id}", "/ui/domains/{id}/events")]
    app = Exchange(Starlette(routes=routes), RequestMetrics(CollectorRegistry()), scene.tracer)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        yield client


async def test_a_request_is_a_span_of_its_route(client: httpx.AsyncClient, scene: Traced) -> None:
    await client.post("/domains/202?token=hunter2", headers={"traceparent": PARENT, "X-Request-Id": "r1"})
    request, part = scene.spans()
    assert (request.name, request.kind, request.trace_id, request.error) == (
        "POST /domains/{id}",
        "server",
        TRACE,
        None,
    )
    assert request.attributes == {
        "http.request.method": "POST",
        "http.route": "/domains/{id}",
        "http.response.status_code": 202,
        "nameplate.tenant_id": "tenant-1",
        "nameplate.request_id": "r1",
    }
    assert part.parent_id == request.id
    assert all(b"hunter2" not in body for body in scene.collector.bodies)


@pytest.mark.parametrize(
    ("path", "name", "status", "error"),
    [
        ("/domains/404", "GET /domains/{id}", 404, None),
        ("/domains/503", "GET /domains/{id}", 503, "503"),
        ("/domains/fault", "GET /domains/{id}", 500, "500"),
        ("/what/somebody/typed", "GET", 404, None),
    ],
)
async def test_only_the_platforms_failures_are_errors(
    client: httpx.AsyncClient, scene: Traced, path: str, name: str, status: int, error: str | None
) -> None:
    await client.get(path)
    request = scene.spans()[0]
    assert (request.name, request.attributes["http.response.status_code"], request.error) == (name, status, error)


@pytest.mark.parametrize("traceparent", ["", "junk", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", PARENT + "-more"])
async def test_a_traceparent_that_cannot_be_read_begins_a_trace_of_its_own(
    client: httpx.AsyncClient, scene: Traced, traceparent: str
) -> None:
    assert (await client.get("/domains/200", headers={"traceparent": traceparent})).status_code == 200
    assert scene.spans()[0].parent_id == ""


async def test_who_says_that_it_is_not_recorded_is_believed(client: httpx.AsyncClient, scene: Traced) -> None:
    await client.get("/domains/200", headers={"traceparent": PARENT[:-2] + "00"})
    assert scene.spans() == []


async def test_probes_and_streams_are_not_traced(client: httpx.AsyncClient, scene: Traced) -> None:
    for path in ("/livez", "/readyz", "/metrics", "/ui/static/x/base.css", "/ui/domains/200/events"):
        assert not is_traced(path)
        await client.get(path)
    assert scene.spans() == []
