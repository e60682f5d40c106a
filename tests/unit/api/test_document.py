"""The OpenAPI document in itself. Whether the API does what it says: tests/integration/api/test_openapi.py."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from scenes.domains import DOMAIN

from api.catalogue import CATALOGUE
from api.openapi import document
from api.operations import OPERATIONS
from api.operations.domains import LINE_PROBLEMS
from api.representation import diagnosis
from api.schemas import SCHEMAS
from api.service import PROVEN_STATUSES, SSL_STATUSES, STATUSES
from control.domains import states
from control.preflight.codes import EXPLANATIONS, Level
from control.preflight.report import Check, Report

DOCUMENT = document()


def walk(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from walk(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from walk(value)


def resolve(reference: str) -> Any:
    node: Any = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


def validator(schema: dict[str, Any]) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for({**schema, "components": DOCUMENT["components"]}, validate_formats=True)


def test_every_reference_leads_somewhere() -> None:
    references = {node["$ref"] for node in walk(DOCUMENT) if "$ref" in node}
    assert len(references) > 10
    for reference in references:
        assert resolve(reference)


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_a_schemas_examples_are_of_the_schema(name: str) -> None:
    for example in SCHEMAS[name].get("examples", []):
        validator({"$ref": f"#/components/schemas/{name}"}).validate(example)


def test_a_problems_examples_are_of_its_schema() -> None:
    count = 0
    validators: dict[str, jsonschema_rs.Validator] = {}  # by the schema: there are few, and one takes 10 ms to make
    for node in walk(DOCUMENT["paths"]):
        for example in node.get("examples", {}).values():
            written = json.dumps(node["schema"])
            if written not in validators:
                validators[written] = validator(node["schema"])
            validators[written].validate(example["value"])
            count += 1
    assert count > 100


def test_an_operation_has_one_name_and_known_problems() -> None:
    assert len({operation.name for operation in OPERATIONS}) == len(OPERATIONS)
    for operation in OPERATIONS:
        assert len(set(operation.problems)) == len(operation.problems)
        assert set(operation.problems) <= set(CATALOGUE)


def test_what_the_admin_does_lies_apart_and_is_refused_to_tenants() -> None:
    for operation in OPERATIONS:
        of_admin = operation.path.startswith("/admin/")
        assert (operation.tag == "admin") == of_admin
        assert ("admin_only" in operation.problems) == of_admin
        assert ("token_no_tenant" in operation.problems) != of_admin
        shown = DOCUMENT["paths"][operation.path][operation.method.lower()]
        assert shown["tags"] == [operation.tag]
        assert ("403" in shown["responses"]) == of_admin


def test_the_statuses_are_those_of_the_state_machines() -> None:
    def known(table: Any) -> set[str]:
        return {state for state, _ in table} | {step.to for step in table.values()}

    assert set(STATUSES) == known(states.DOMAIN)
    assert set(SSL_STATUSES) == known(states.SSL)
    assert PROVEN_STATUSES == states.PROVEN


def test_every_code_that_the_api_raises_is_documented() -> None:
    """Of what is written as Problem("code" …) in the modules that serve operations."""
    documented = {code for operation in OPERATIONS for code in operation.problems} | set(LINE_PROBLEMS)
    root = Path(__file__).parents[3]
    machinery = {"problems", "catalogue"}
    sources = [path for path in (root / "api").rglob("*.py") if path.stem not in machinery]
    raised = {code for source in sources for code in re.findall(r'Problem\(\s*"([a-z_]+)"', source.read_text())}
    assert len(raised) > 15
    assert raised <= documented


def test_what_the_preflight_reports_is_a_diagnosis() -> None:
    checks = [
        Check("preflight", str(code), level is Level.OK, level is Level.BLOCKING, who, sentence, {"a": ["b"]}, None)
        for code, (level, who, sentence) in EXPLANATIONS.items()
    ]
    assert len(checks) > 10
    now = datetime(2026, 4, 22, 2, tzinfo=UTC)
    shown = diagnosis(DOMAIN, Report(checks, ["https://ca.test/directory"]).to_json(), now)
    validator({"$ref": "#/components/schemas/Diagnosis"}).validate(shown)
    assert [check["code"] for check in shown["checks"]] == [check.code for check in checks]


def test_a_line_of_an_import_can_be_refused_by_what_refuses_a_registration() -> None:
    alone = {"hostname_repeated"}
    (registration,) = (operation for operation in OPERATIONS if operation.name == "addDomain")
    assert set(LINE_PROBLEMS) - alone <= set(registration.problems)
