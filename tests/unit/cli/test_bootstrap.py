"""`nameplate bootstrap`"""

from __future__ import annotations

import yaml
from typer.testing import CliRunner

from cli.main import app


def run(*arguments: str, **environment: str):
    return CliRunner().invoke(app, ["bootstrap", *arguments], env=environment)


def test_it_prints_a_configuration():
    result = run("--node-id", "edge-7", "--heap", "512", NAMEPLATE_XDS_ADDRESS="unix:/run/x.sock")
    assert result.exit_code == 0
    document = yaml.safe_load(result.stdout)
    assert document["node"]["id"] == "edge-7"
    monitors = document["overload_manager"]["resource_monitors"]
    assert monitors[0]["typed_config"]["max_heap_size_bytes"] == 512 * 1024 * 1024
    assert "/run/x.sock" in result.stdout


def test_a_complaint_is_a_line_and_no_configuration():
    for arguments in (("--envoy-version", "1.2"), ("--xds-address", "here"), ("--tls-cert", "/a")):
        result = run(*arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith("nameplate: ")
        assert len(result.stderr.splitlines()) == 1
