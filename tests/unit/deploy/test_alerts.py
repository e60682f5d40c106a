"""The alert rules, by Debian's promtool: each fires when it should, not before its time, and not when all is well."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from embedded import debian
from embedded.prometheus import promtool

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy" / "prometheus"
ALERTS = FOLDER / "alerts.yml"
RUNBOOK = ROOT / "docs" / "alerts.md"

GOES_ON = "x600"  # minutes
LOOK_BACK = 65  # minutes; the longest range is of an hour
CONTROL, SIDECAR = 'job="nameplate-control", instance="c1"', 'job="nameplate-sidecar", instance="s1"'

# By alert: series under which it fires, and series under which it does not. `a+b` grows by b each minute.
CASES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "NameplateSidecarDown": ({f"up{{{SIDECAR}}}": "0"}, {f"up{{{SIDECAR}}}": "1"}),
    "NameplateSidecarsUnknown": ({f"up{{{CONTROL}}}": "1"}, {f"up{{{SIDECAR}}}": "0"}),
    "NameplateSidecarNotReady": ({"nameplate_ready": "0"}, {"nameplate_ready": "1"}),
    "NameplateChecksUnavailable": (
        {'nameplate_checks_total{outcome="unavailable"}': "0+2", 'nameplate_checks_total{outcome="ok"}': "0+98"},
        {'nameplate_checks_total{outcome="unavailable"}': "0+1", 'nameplate_checks_total{outcome="ok"}': "0+999"},
    ),
    "NameplateSidecarRestarts": (
        {f"process_start_time_seconds{{{SIDECAR}}}": "0+60"},
        {f"process_start_time_seconds{{{SIDECAR}}}": "60", f"process_start_time_seconds{{{CONTROL}}}": "0+60"},
    ),
    "NameplateFeedOld": ({"nameplate_feed_age_seconds": "61"}, {"nameplate_feed_age_seconds": "12"}),
    "NameplateSidecarsBehind": (
        {'nameplate_fleet_sidecars_behind{instance="c1"}': "0", 'nameplate_fleet_sidecars_behind{instance="c2"}': "1"},
        {"nameplate_fleet_sidecars_behind": "0"},
    ),
    "NameplateEnvoysBehind": ({"nameplate_fleet_envoys_behind": "2"}, {"nameplate_fleet_envoys_behind": "0"}),
    "NameplateEnvoyRejects": (
        {'nameplate_xds_rejected{type="listener"}': "1"},
        {'nameplate_xds_rejected{type="listener"}': "0"},
    ),
    "NameplateEnvoyMissing": (
        {"nameplate_envoys": "0", "nameplate_ready": "1"},
        {"nameplate_envoys": "0", "nameplate_ready": "0"},  # another alert's
    ),
    "NameplateRowsLeftOut": (
        {'nameplate_edge_left_out{kind="service"}': "0", 'nameplate_xds_left_out{kind="service"}': "1"},
        {'nameplate_edge_left_out{kind="service"}': "0"},
    ),
    "NameplateDirectoryFull": (
        {"nameplate_directory_names": "91", "nameplate_directory_capacity_names": "100"},
        {"nameplate_directory_names": "90", "nameplate_directory_capacity_names": "100"},
    ),
    "NameplateLoadsRefused": (
        {'nameplate_loads_refused_total{kind="name"}': "0+40", 'nameplate_loads_refused_total{kind="token"}': "0+30"},
        {'nameplate_loads_refused_total{kind="name"}': "0+20"},
    ),
    "NameplateSnapshotFails": (
        {"nameplate_snapshot_failures_total": "0+0", "nameplate_edge_snapshot_failures_total": "0+1"},
        {"nameplate_snapshot_failures_total": "3", "nameplate_edge_snapshot_failures_total": "0"},
    ),
    "NameplateCertificatesExpired": (
        {'nameplate_certificates_expired{who="nobody"}': "1"},
        {'nameplate_certificates_expired{who="nobody"}': "0", 'nameplate_certificates_expired{who="tenant"}': "5"},
    ),
    "NameplateCertificatesEnding": (
        {'nameplate_certificates_expiring{within_days="1", who="ca"}': "1"},
        {
            'nameplate_certificates_expiring{within_days="3", who="ca"}': "1",
            'nameplate_certificates_expiring{within_days="1", who="tenant"}': "1",
        },
    ),
    "NameplateRenewalsLate": (
        {'nameplate_renewals_late{who="operator"}': "3"},
        {'nameplate_renewals_late{who="operator"}': "0", 'nameplate_renewals_late{who="tenant"}': "3"},
    ),
    "NameplateTenantsCertificatesEnding": (
        {'nameplate_certificates_expiring{within_days="7", who="tenant"}': "1"},
        {'nameplate_certificates_expiring{within_days="7", who="nobody"}': "1"},
    ),
    "NameplatePlatformCertificateEnding": (
        {"nameplate_platform_certificate_not_after_timestamp_seconds": "500000"},
        {"nameplate_platform_certificate_not_after_timestamp_seconds": "5000000"},
    ),
    "NameplateUpstreamCertificateEnding": (
        {'nameplate_upstream_certificate_not_after_timestamp_seconds{kind="trust", name="a"}': "500000"},
        {'nameplate_upstream_certificate_not_after_timestamp_seconds{kind="trust", name="a"}': "5000000"},
    ),
    "NameplateOrdersFail": (
        {
            'nameplate_acme_orders_total{ca="a", outcome="issued"}': "0+1",
            'nameplate_acme_orders_total{ca="a", outcome="ca_unavailable"}': "0+2",
        },
        {  # few, and many of which half succeed
            'nameplate_acme_orders_total{ca="a", outcome="ca_unavailable"}': "0+0.05",
            'nameplate_acme_orders_total{ca="b", outcome="issued"}': "0+2",
            'nameplate_acme_orders_total{ca="b", outcome="ca_unavailable"}': "0+1",
        },
    ),
    "NameplateCaOut": ({'nameplate_acme_ca_out{ca="a"}': "1"}, {'nameplate_acme_ca_out{ca="a"}': "0"}),
    "NameplateNoCa": (
        {'nameplate_acme_ca_out{ca="a"}': "1", 'nameplate_acme_ca_out{ca="b"}': "1"},
        {'nameplate_acme_ca_out{ca="a"}': "1", 'nameplate_acme_ca_out{ca="b"}': "0"},
    ),
    "NameplateCaLimitReached": (
        {'nameplate_acme_limits_reached{ca="a", scope="account"}': "1"},
        {'nameplate_acme_limits_reached{ca="a", scope="name"}': "9"},
    ),
    "NameplateOrdersQueue": (
        {'nameplate_acme_orders_left{ca="a"}': "0", 'nameplate_jobs_due{kind="obtain"}': "7"},
        {'nameplate_acme_orders_left{ca="a"}': "0", 'nameplate_jobs_due{kind="obtain"}': "0"},
    ),
    "NameplateOrdersStuck": (
        {'nameplate_job_oldest_due_seconds{kind="obtain"}': "4000"},  # at a CA without limits
        {'nameplate_job_oldest_due_seconds{kind="obtain"}': "4000", 'nameplate_acme_orders_left{ca="a"}': "0"},
    ),
    "NameplateControlDown": ({f"up{{{CONTROL}}}": "0"}, {f"up{{{CONTROL}}}": "1"}),
    "NameplateControlGone": (
        {f"up{{{SIDECAR}}}": "1"},
        {f"up{{{CONTROL}}}": "1", 'up{job="nameplate-control", instance="c2"}': "0"},
    ),
    "NameplateApiErrors": (
        {'nameplate_api_requests_total{status="500"}': "0+6", 'nameplate_api_requests_total{status="200"}': "0+90"},
        {'nameplate_api_requests_total{status="404"}': "0+90", 'nameplate_api_requests_total{status="503"}': "0+1"},
    ),
    "NameplateApiSlow": (
        {
            'nameplate_api_request_seconds_bucket{route="/api/v1/domains", le="2.5"}': "0+90",
            'nameplate_api_request_seconds_bucket{route="/api/v1/domains", le="5.0"}': "0+100",
            'nameplate_api_request_seconds_bucket{route="/api/v1/domains", le="+Inf"}': "0+100",
        },
        {
            'nameplate_api_request_seconds_bucket{route="/api/v1/domains", le="1.0"}': "0+100",
            'nameplate_api_request_seconds_bucket{route="/api/v1/domains", le="+Inf"}': "0+100",
            'nameplate_api_request_seconds_bucket{route="/ui/domains/{id}/events", le="1.0"}': "0+0",
            'nameplate_api_request_seconds_bucket{route="/ui/domains/{id}/events", le="+Inf"}': "0+100",
        },
    ),
    "NameplateJobsStuck": (
        {'nameplate_job_oldest_due_seconds{kind="verify"}': "301"},
        {
            'nameplate_job_oldest_due_seconds{kind="verify"}': "2",
            'nameplate_job_oldest_due_seconds{kind="obtain"}': "9999",
        },
    ),
    "NameplateJobFaults": (
        {'nameplate_job_errors_total{kind="obtain", reason="fault"}': "0+1"},
        {'nameplate_job_errors_total{kind="obtain", reason="interrupted"}': "0+1"},
    ),
    "NameplateFiguresOld": (
        {
            f'nameplate_figures_age_seconds{{of="jobs", {CONTROL}}}': "70",
            f'nameplate_figures_read_seconds{{of="jobs", {CONTROL}}}': "0",
        },
        {  # long to read, so rarely read
            f'nameplate_figures_age_seconds{{of="domains", {CONTROL}}}': "500",
            f'nameplate_figures_read_seconds{{of="domains", {CONTROL}}}': "5",
            f"up{{{CONTROL}}}": "1",
        },
    ),
    "NameplateDeadLetters": (
        {'nameplate_deliveries_total{kind="webhook", outcome="dead"}': "0+1"},
        {'nameplate_deliveries_total{kind="webhook", outcome="again"}': "0+1"},
    ),
    "NameplateOutboxStuck": ({"nameplate_outbox_waiting": "1"}, {"nameplate_outbox_waiting": "0 3 0 0 2 0"}),
    "NameplateAuditMismatch": ({"nameplate_audit_anchor_mismatch": "1"}, {"nameplate_audit_anchor_mismatch": "0"}),
    "NameplateAuditNotAnchored": (
        {"nameplate_audit_anchored_timestamp_seconds": "0"},
        {"nameplate_audit_anchored_timestamp_seconds": "0+60"},
    ),
    "NameplateReleasesDiffer": (
        {'nameplate_build_info{version="0.1.0"}': "1", 'nameplate_build_info{version="0.2.0"}': "1"},
        {'nameplate_build_info{version="0.1.0"}': "1", 'nameplate_build_info{version="0.1.0", process="sidecar"}': "1"},
    ),
    "NameplateDatabaseAway": (
        {"nameplate_listener_connected": "0"},
        {'nameplate_listener_connected{instance="c1"}': "0", 'nameplate_listener_connected{instance="c2"}': "1"},
    ),
    "NameplateListenerLost": ({"nameplate_listener_connected": "0"}, {"nameplate_listener_connected": "1"}),
    "NameplateDatabasePoolFull": (
        {
            'nameplate_database_connections_busy{pool="api"}': "20",
            'nameplate_database_connections_limit{pool="api"}': "20",
        },
        {
            'nameplate_database_connections_busy{pool="api"}': "19",
            'nameplate_database_connections_limit{pool="api"}': "20",
        },
    ),
    "NameplateVaultFails": (
        {
            'nameplate_vault_calls_total{outcome="vault_denied"}': "0+2",
            'nameplate_vault_calls_total{outcome="ok"}': "0+8",
        },
        {
            'nameplate_vault_calls_total{outcome="vault_denied"}': "0+1",
            'nameplate_vault_calls_total{outcome="ok"}': "0+99",
        },
    ),
    "NameplateSidecarWithoutVault": ({"nameplate_vault_away": "1"}, {"nameplate_vault_away": "0"}),
    "NameplateCertificatesUnavailable": (
        {'nameplate_secret_answers_total{answer="removed_unavailable"}': "0+6"},
        {'nameplate_secret_answers_total{answer="removed_unknown"}': "0+600"},
    ),
    "NameplateResolverFails": (
        {
            'nameplate_dns_questions_total{resolver="a", outcome="timeout"}': "0+6",
            'nameplate_dns_questions_total{resolver="a", outcome="answer"}': "0+4",
        },
        {
            'nameplate_dns_questions_total{resolver="a", outcome="no_name"}': "0+60",
            'nameplate_dns_questions_total{resolver="a", outcome="timeout"}': "0+6",
        },
    ),
}


# Other ways in which some are to fire.
ALSO: tuple[tuple[str, dict[str, str]], ...] = (
    ("NameplateControlGone", {f"up{{{CONTROL}}}": "0"}),
    ("NameplateFiguresOld", {f"up{{{CONTROL}}}": "1"}),  # never read
    ("NameplateRowsLeftOut", {'nameplate_edge_left_out{kind="consumer"}': "2"}),
    (
        "NameplateSnapshotFails",
        {"nameplate_snapshot_failures_total": "0+1", "nameplate_edge_snapshot_failures_total": "0"},
    ),
    (
        "NameplateOrdersStuck",
        {'nameplate_job_oldest_due_seconds{kind="obtain"}': "4000", 'nameplate_acme_orders_left{ca="a"}': "9"},
    ),
)


@pytest.fixture(autouse=True, scope="module")
def package() -> None:
    debian.ensure("prometheus")


@pytest.fixture(scope="module")
def rules() -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


async def test_promtool_takes_the_rules_and_the_configuration() -> None:
    await promtool("check", "rules", "--lint=all", "--lint-fatal", ALERTS)
    await promtool("check", "config", "--lint=all", "--lint-fatal", FOLDER / "prometheus.yml")


async def test_each_alert_fires_in_its_time_and_not_when_all_is_well(
    rules: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    assert CASES.keys() == rules.keys()
    files = []
    for alert, (bad, well) in CASES.items():
        waits = minutes(rules[alert]["for"])
        assert waits >= 1
        # A file with this rule alone: promtool would evaluate all of them each minute.
        rule, file = tmp_path / f"{alert}.rules.json", tmp_path / f"{alert}.test.json"
        rule.write_text(json.dumps({"groups": [{"name": alert, "rules": [rules[alert]]}]}))
        end = waits + LOOK_BACK
        tests = [
            case(f"{alert} fires", bad, alert, {end: True, waits - 1: False}),
            case(f"{alert} is silent", well, alert, {end: False}),
            *(case(f"{alert} fires also", also, alert, {end: True}) for name, also in ALSO if name == alert),
        ]
        file.write_text(json.dumps({"rule_files": [str(rule)], "evaluation_interval": "1m", "tests": tests}))
        files.append(file)
    await promtool("test", "rules", *files)


def case(name: str, series: dict[str, str], alert: str, expected: dict[int, bool]) -> dict[str, Any]:
    """`expected`: by minute, whether it fires."""
    fires = f'count(count by (alertname) (ALERTS{{alertname="{alert}", alertstate="firing"}})) or vector(0)'
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": one, "values": going_on(values)} for one, values in series.items()],
        "promql_expr_test": [
            {"expr": fires, "eval_time": f"{minute}m", "exp_samples": [{"labels": "{}", "value": int(fired)}]}
            for minute, fired in expected.items()
        ],
    }


def going_on(values: str) -> str:
    return " ".join([values] * 100) if " " in values else f"{values}{GOES_ON}"


def minutes(text: str) -> int:
    return int(text[:-1]) * {"m": 1, "h": 60}[text[-1]]


def test_each_alert_says_how_bad_it_is_and_where_its_runbook_is(rules: dict[str, dict[str, Any]]) -> None:
    headings = re.findall(r"^### (\w+)$", RUNBOOK.read_text(), re.MULTILINE)
    assert sorted(headings) == sorted(rules)
    for alert, rule in rules.items():
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
        assert rule["annotations"]["runbook_url"] == f"docs/alerts.md#{alert.lower()}"


def test_each_runbook_says_what_it_means_what_to_look_at_and_what_mends_it(rules: dict[str, dict[str, Any]]) -> None:
    _, *sections = re.split(r"^### ", RUNBOOK.read_text(), flags=re.MULTILINE)
    for section in sections:
        alert, _, text = section.partition("\n")
        severity = rules[alert]["labels"]["severity"]
        assert text.strip().startswith(f"*{severity}*"), alert
        for part in ("**Look at**", "**Mends it**"):
            assert part in text, alert


def test_a_runbook_names_log_lines_settings_and_metrics_that_there_are() -> None:
    """What an operator is sent to look for."""
    scraped = (FOLDER / "prometheus.yml").read_text() + "pg_stat_activity xact_start backend_xid custom_domains"
    code = scraped + "\n".join(
        file.read_text() for package in ("core", "sidecar", "control", "api") for file in (ROOT / package).rglob("*.py")
    )
    metrics = (ROOT / "docs" / "metrics.md").read_text()
    for word in re.findall(r"`([^`]+)`", RUNBOOK.read_text()):
        if re.fullmatch(r"NAMEPLATE_[A-Z_]+", word):
            assert word in code or word.removeprefix("NAMEPLATE_").lower() in code, word
        elif found := re.match(r"(nameplate_[a-z_]+)", word):
            assert f"`{found[1]}`" in metrics, word
        elif re.fullmatch(r"[a-z]+(_[a-z]+)+", word):
            assert word in code or word in metrics, word
