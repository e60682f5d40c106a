"""One trace from a tenant's request to the certificate in a sidecar's memory, as a real receiver has it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from uuid import uuid4

import asyncpg
from scenes.play import Play, tenants_seen

from core.log import SECRET_TEXT
from embedded.collector import Collector, Span, tree
from embedded.plain_http import plain_http
from embedded.ports import LOOPBACK, free_port
from embedded.stack import STOP_GRACE

# What is part of what: the name of a span, and of the one that it is part of.
EXPECTED = {
    "job verify": "POST /api/v1/domains",
    "dns look": "job verify",
    "transition record_found": "job verify",
    "transition ownership_proven": "job verify",
    "job obtain": "job verify",
    "pre-flight": "job obtain",
    "transition order_started": "job obtain",
    "vault write pending": "job obtain",
    "acme newOrder": "job obtain",
    "acme challenge": "job obtain",
    "acme authorization": "job obtain",
    "acme finalize": "job obtain",
    "acme certificate": "job obtain",
    "vault write certs": "job obtain",
    "transition certificate_stored": "job obtain",
    "transition certificate_loaded": "job obtain",
    "sidecars read it": "job obtain",
    "apply challenge": "job obtain",
    "load certificate": "apply domain",
    "vault read certs": "load certificate",
}


def title(span: Span) -> str:
    """With what tells it from the others of its name."""
    attributes = span.attributes
    told = attributes.get("nameplate.event") or attributes.get("nameplate.path")
    return f"{span.name} {told}" if told else span.name


def parents(spans: Sequence[Span]) -> Mapping[str, set[str]]:
    titles = {span.id: title(span) for span in spans}
    found: dict[str, set[str]] = {}
    for span in spans:
        found.setdefault(title(span), set()).add(titles.get(span.parent_id, "?"))
    return found


async def test_one_trace_leads_from_the_request_to_the_sidecar(play: Play, collector: Collector) -> None:
    owner = play.customer()
    # The tenant's target is known from its first domain, so that the second one is proven at the first look.
    target = (await owner.register(f"first.{play.zone}"))["instructions"]["subdomain"]["value"]
    hostname = f"shop.{play.zone}"
    await play.stack.dns.replace(hostname, "CNAME", target)
    trace_id, client = secrets.token_hex(16), secrets.token_hex(8)
    token = play.stack.identity.token(owner.tenant_id)
    response = await play.http.post(
        "domains",
        json={"hostname": hostname},
        headers={"Authorization": f"Bearer {token}", "traceparent": f"00-{trace_id}-{client}-01"},
    )
    domain_id = response.json()["id"]

    async def is_active() -> bool:
        return bool((await owner.detail(domain_id))["status"] == "active")

    await play.eventually(is_active, timeout=60)
    assert tenants_seen(await play.visit(hostname)) == [str(owner.tenant_id)]

    async def is_whole() -> Sequence[Span] | None:
        spans = collector.trace(trace_id)
        return spans if {"load certificate", "job obtain"} <= {span.name for span in spans} else None

    spans = await play.eventually(is_whole, timeout=20)
    print(tree(spans))  # what docs/traces.md shows, with -s
    found = parents(spans)
    assert {name: parent for name, parent in EXPECTED.items() if parent not in found.get(name, ())} == {}
    assert found["vault read certs"] == {"job obtain", "load certificate"}, "control's look, and the sidecar's"
    assert found["apply domain"] <= {"job obtain", *(name for name in found if name.startswith("transition"))}
    (request,) = [span for span in spans if span.kind == "server"]
    assert request.parent_id == client
    assert request.attributes["nameplate.tenant_id"] == str(owner.tenant_id)
    assert request.attributes["http.response.status_code"] == 201
    assert {span.service for span in spans if span.name.startswith(("apply", "load"))} == {"nameplate-sidecar"}
    assert {span.error for span in spans if span.name != "vault read"} == {None}

    # The log's lines say the same trace.
    lines = [json.loads(line) for line in (play.stack.home / "control.log").read_text().splitlines() if line[0] == "{"]
    said = {line["event"] for line in lines if line.get("trace_id") == trace_id}
    assert {"request", "domain_verified", "certificate_issued"} <= said


async def test_the_last_spans_are_sent_when_the_process_ends(play: Play, collector: Collector) -> None:
    stack, listen = play.stack, f"{LOOPBACK}:{free_port()}"
    replica = await stack.start_control("traced", NAMEPLATE_API_LISTEN=listen)
    trace_id = secrets.token_hex(16)
    headers = {
        "Authorization": f"Bearer {stack.identity.token(uuid4())}",
        "traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01",
    }
    async with plain_http() as client:
        assert (await client.get(f"http://{listen}/api/v1/quota", headers=headers)).status_code == 200
    await replica.stop(STOP_GRACE)
    assert replica.returncode == 0
    assert [span.name for span in collector.trace(trace_id)] == ["GET /api/v1/quota"]


async def test_nothing_of_a_trace_is_secret(play: Play, collector: Collector) -> None:
    """All that was ever sent, of all tests before this one too."""
    owner = play.customer()
    await play.active(owner, f"shop.{play.zone}")
    await play.visit(f"shop.{play.zone}")

    async def is_sent() -> bool:
        return any(span.attributes.get("nameplate.hostname") == f"shop.{play.zone}" for span in collector.spans())

    await play.eventually(is_sent, timeout=20)
    connection = await asyncpg.connect(play.stack.dsn())
    try:
        tokens = [row[0] for row in await connection.fetch("SELECT verification_token FROM custom_domains")]
    finally:
        await connection.close()
    environment = {**play.stack.control_environment, **play.stack.sidecar_environment}
    known = [value for name, value in environment.items() if "SECRET" in name or name.endswith("DATABASE_URL")]
    text = "\n".join(body.decode("latin-1") for body in collector.bodies)
    assert [secret for secret in (*known, *tokens, "-----BEGIN", "Bearer ", "hvs.") if secret in text] == []
    assert SECRET_TEXT.search(text) is None
    assert {name for span in collector.spans() for name in span.attributes} <= NAMES


# Every attribute that there is: one that is added is looked at here.
NAMES = {
    "error.type",
    "http.request.method",
    "http.response.status_code",
    "http.route",
    "server.address",
    *(
        f"nameplate.{name}"
        for name in (
            "attempts",
            "challenge",
            "domain_id",
            "event",
            "finding",
            "from",
            "hostname",
            "job",
            "key",
            "outcome",
            "path",
            "request_id",
            "seen",
            "sidecar",
            "sidecars",
            "tenant_id",
            "to",
            "verdict",
        )
    ),
}
