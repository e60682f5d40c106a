"""Spans as a real receiver has them, and what is done where nobody wants any."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from datetime import UTC, datetime

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict

from core import trace
from core.errors import NameplateError
from core.otlp import Otlp, harmless, read
from core.settings import complaints
from core.trace import CURRENT, NOTHING, TRACEPARENT
from core.trace_settings import TraceSettings, headers_of
from embedded.collector import collecting
from embedded.ports import LOOPBACK, free_port

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE = PARENT.split("-")[1]


class Settings(TraceSettings):
    model_config = SettingsConfigDict(env_prefix="NAMEPLATE_", extra="ignore", hide_input_in_errors=True)


@pytest.fixture
def collector():
    with collecting() as collector:
        yield collector


def otlp(url: str, ratio: float = 1.0) -> Otlp:
    return Otlp(url, {"authorization": "Bearer it-is-a-secret"}, None, ratio, "nameplate-test", "one")


# --- off


def test_without_an_endpoint_nothing_is_recorded_and_nothing_is_loaded() -> None:
    script = """
import sys
from core.trace import CURRENT, NOTHING, span, traceparent
from core.trace_settings import TraceSettings
tracer = TraceSettings().tracer("a", "b")
with tracer.begin("job", "consumer", parent="x", attempts=1) as job, span("part", "client", a=1) as part:
    part.set(b=2), part.fail("c"), part.rename("d")
    assert job is part is CURRENT.get() is NOTHING and traceparent() is None
tracer.close(1)
assert not [name for name in sys.modules if name.startswith("opentelemetry")], "loaded"
"""
    subprocess.run([sys.executable, "-c", script], check=True, env={"PYTHONPATH": ".", "PATH": ""})


def test_a_ratio_of_nothing_is_off() -> None:
    assert Settings(NAMEPLATE_OTLP_ENDPOINT=f"http://{LOOPBACK}:1", trace_ratio=0).tracer("a", "b") is NOTHING


# --- on


def test_spans_come_with_their_parents_and_nothing_secret(collector) -> None:
    tracer = otlp(collector.url)
    with tracer.begin("request", "server", parent=PARENT, tenant_id="t", **{"http.route": "/x"}) as request:
        assert trace.traceparent() == request.traceparent
        with trace.span("acme newOrder", "client", tries=2, nothing=None) as inner:
            inner.set(text="a eyJhbGciOi.eyJzdWIi.c2ln b", private_key="x")
        with pytest.raises(NameplateError), trace.span("vault read"):
            raise NameplateError("vault_denied", "with a secret in its text")
        request.rename("POST /x")
    assert trace.traceparent() is None
    tracer.close(5)
    request, order, vault = collector.trace(TRACE)
    assert (request.service, request.name, request.kind, request.parent_id) == (
        "nameplate-test",
        "POST /x",
        "server",
        PARENT.split("-")[2],
    )
    assert request.attributes == {"nameplate.tenant_id": "t", "http.route": "/x"}
    assert (order.kind, order.parent_id) == ("client", request.id)
    assert order.attributes == {
        "nameplate.tries": 2,
        "nameplate.text": "a [hidden] b",
        "nameplate.private_key": "[hidden]",
    }
    assert (vault.parent_id, vault.error) == (request.id, "vault_denied")
    assert all(b"secret" not in body for body in collector.bodies)
    assert collector.headers[0]["authorization"] == "Bearer it-is-a-secret"


def test_the_first_reason_counts_and_an_unexpected_error_is_named_not_quoted(collector) -> None:
    tracer = otlp(collector.url)
    with pytest.raises(ValueError), tracer.begin("a", "internal") as span:
        span.fail("known")
        raise ValueError("hunter2")
    with pytest.raises(ValueError), tracer.begin("b", "internal"):
        raise ValueError("hunter2")
    tracer.close(5)
    assert [span.error for span in collector.spans()] == ["known", "ValueError"]
    assert all(b"hunter2" not in body for body in collector.bodies)


def test_a_span_may_have_begun_before_and_text_is_cut(collector) -> None:
    tracer = otlp(collector.url)
    at = datetime(2026, 4, 22, tzinfo=UTC)
    with tracer.begin("apply", "consumer", at=at, key="x" * 10_000):
        pass
    tracer.close(5)
    (span,) = collector.spans()
    assert span.start == int(at.timestamp()) * 10**9 < span.end
    assert len(span.attributes["nameplate.key"]) == 512


@pytest.mark.parametrize("ratio", [0.0, 0.3, 1.0])
def test_whether_a_trace_is_recorded_follows_from_its_id(collector, ratio) -> None:
    """So that processes of the same ratio record the same ones."""
    parents = [f"00-{number:032x}-b7ad6b7169203331-01" for number in range(1, 2**64, 2**57 + 12345)]
    recorded = []
    for _ in range(2):
        tracer = otlp(collector.url, ratio)
        for parent in parents:
            with tracer.begin("job", "consumer", parent=parent) as span, trace.span("part"):
                assert (span is NOTHING) == (trace.traceparent() is None)
        tracer.close(5)
        recorded.append({span.trace_id for span in collector.spans()})
    assert recorded[0] == recorded[1]
    assert len(recorded[0]) == pytest.approx(ratio * len(parents), abs=len(parents) / 10)


def test_a_parent_that_was_not_sampled_is_not_recorded(collector) -> None:
    tracer = otlp(collector.url)
    with tracer.begin("request", "server", parent=PARENT[:-2] + "00") as span:
        assert span is NOTHING
    tracer.close(5)
    assert collector.spans() == []


def test_a_line_of_the_log_says_in_which_trace_it_is(collector) -> None:
    tracer = otlp(collector.url)
    with tracer.begin("request", "server", parent=PARENT):
        assert trace.add_trace_id(None, "info", {"event": "x"}) == {"event": "x", "trace_id": TRACE}
    assert trace.add_trace_id(None, "info", {"event": "x"}) == {"event": "x"}
    tracer.close(5)


# --- faults


def test_a_collector_that_is_away_or_refuses_harms_nobody_and_is_said_once(collector, monkeypatch, caplog) -> None:
    said: list[str] = []

    def keep(_logger: object, _method: str, event) -> str:
        said.append(event["event"])
        raise structlog.DropEvent

    monkeypatch.setattr("core.otlp.log", structlog.wrap_logger(None, processors=[keep]))
    collector.status = 400
    tracer = otlp(collector.url)
    with caplog.at_level(logging.DEBUG):
        for _ in range(3):
            with tracer.begin("job", "consumer"):
                pass
            assert tracer._provider.force_flush(5000)
        collector.status = 200
        with tracer.begin("job", "consumer"):
            pass
        tracer.close(5)
    assert said == ["traces_not_sent", "traces_sent_again"]
    assert len(collector.spans()) == 1
    assert [record for record in caplog.records if record.name.startswith("opentelemetry")] == []


def test_the_end_does_not_wait_for_a_collector_that_is_away() -> None:
    others = set(threading.enumerate())
    tracer = otlp(f"http://{LOOPBACK}:{free_port()}")
    with tracer.begin("job", "consumer"):
        pass
    tracer.close(0.1)
    assert CURRENT.get() is NOTHING
    for trying in set(threading.enumerate()) - others:  # its jitter would disturb the draws of property tests
        trying.join(10)
        assert not trying.is_alive()


# --- what is read


def hexadecimal(digits: int) -> st.SearchStrategy[str]:
    return st.integers(0, 16**digits - 1).map(lambda number: f"{number:0{digits}x}")


@given(
    st.text(max_size=60)
    | st.tuples(st.sampled_from(["00", "01"]), hexadecimal(32), hexadecimal(16), hexadecimal(2)).map("-".join)
)
def test_what_is_no_traceparent_is_passed_over(text) -> None:
    found = read(text)
    assert (found is not None) == (TRACEPARENT.fullmatch(text) is not None)
    assert found is None or found.is_valid


@pytest.mark.parametrize(
    ("name", "value", "sent"),
    [
        ("hostname", "shop.example.com", "shop.example.com"),
        ("hostname", "eyJust.a.name", "[hidden]"),
        ("text", "x -----BEGIN PRIVATE KEY-----\nMIGH", "x [hidden]"),
        ("text", "GET /ui/enter?ticket=eyJ2Ijox.c2ln HTTP/1.1", "GET /ui/enter?ticket=[hidden] HTTP/1.1"),
        ("authorization", "anything", "[hidden]"),
        ("cookie", "anything", "[hidden]"),
        ("attempts", 3, 3),
        ("complete", True, True),
    ],
)
def test_what_is_sent_is_what_was_given_unless_it_looks_secret(name, value, sent) -> None:
    assert harmless(name, value) == sent


@pytest.mark.parametrize(
    "url",
    [
        "collector:4318",
        "ftp://collector",
        "http://",
        "http://user:hunter2@collector",
        "http://collector/?token=hunter2",
        "http://collector/v1/traces",
        "http://collector:99999",
        "http://coll ector",
        "",
    ],
)
def test_an_endpoint_that_cannot_be_is_refused_without_its_value(url) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(NAMEPLATE_OTLP_ENDPOINT=url)
    (line,) = complaints(refused.value)
    assert line.startswith("NAMEPLATE_OTLP_ENDPOINT")
    assert "hunter2" not in line + str(refused.value)


@pytest.mark.parametrize("name", ["NAMEPLATE_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"])
def test_the_standard_variable_counts_too_and_ours_before_it(monkeypatch, name) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://standard:4318")
    monkeypatch.setenv(name, "https://collector/base")
    assert Settings().otlp_endpoint == "https://collector/base"


def test_headers_are_read_as_the_standard_says() -> None:
    assert headers_of("a=b, X-Api-Key = p%2Cq%3D ,") == {"a": "b", "X-Api-Key": "p,q="}
    for wrong in ("a", "=b", "a b=c", "a=%0d%0ab: c", "a=é"):
        with pytest.raises(ValueError, match="NAME=VALUE"):
            headers_of(wrong)
    with pytest.raises(ValidationError) as refused:
        Settings(NAMEPLATE_OTLP_HEADERS="hunter2")
    assert "hunter2" not in str(refused.value) + "".join(complaints(refused.value))
