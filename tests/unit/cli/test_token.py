"""`nameplate token`: a token, or one line that says why not."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from typer.testing import CliRunner

from api.auth import Authenticator, Operator
from api.jwks import KeyFile
from api.problems import Problem
from cli.main import app
from embedded.identity import AUDIENCE, ISSUER

TENANT = "11111111-1111-4111-8111-111111111111"


def encrypted(path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word")))


def test_the_key_is_made_once_and_its_public_half_is_written(tmp_path: Path) -> None:
    arguments = ["token", "--tenant", TENANT, "--key", str(tmp_path / "key.pem"), "--jwks", str(tmp_path / "jwks.json")]
    first = CliRunner().invoke(app, arguments)
    public = (tmp_path / "jwks.json").read_text()
    second = CliRunner().invoke(app, arguments)
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert first.stdout.count(".") == 2
    assert (tmp_path / "jwks.json").read_text() == public


@pytest.mark.parametrize("wrong", ["encrypted key", "no such directory"])
def test_what_goes_wrong_is_one_line_without_a_traceback(tmp_path: Path, wrong: str) -> None:
    encrypted(tmp_path / "encrypted.pem")
    key, jwks = tmp_path / "key.pem", tmp_path / "nowhere" / "jwks.json"
    if wrong == "encrypted key":
        key, jwks = tmp_path / "encrypted.pem", tmp_path / "jwks.json"
    result = CliRunner().invoke(app, ["token", "--tenant", TENANT, "--key", str(key), "--jwks", str(jwks)])
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert result.stderr.startswith("nameplate: no token was made")
    assert result.stdout == ""


def test_a_token_for_the_admin_has_the_scope_and_no_tenant(tmp_path: Path) -> None:
    jwks = tmp_path / "jwks.json"
    arguments = ["token", "--admin", "--key", str(tmp_path / "key.pem"), "--jwks", str(jwks), "--subject", "root"]
    token = CliRunner().invoke(app, arguments).stdout.strip()
    gate = Authenticator(KeyFile(jwks), issuer=ISSUER, audience=AUDIENCE)
    assert asyncio.run(gate.authenticate_operator(f"Bearer {token}")) == Operator("root")
    with pytest.raises(Problem) as refused:
        asyncio.run(gate.authenticate(f"Bearer {token}"))
    assert refused.value.code == "token_no_tenant"


@pytest.mark.parametrize("whose", [[], ["--admin", "--tenant", TENANT]])
def test_a_token_is_for_a_tenant_or_for_the_admin(tmp_path: Path, whose: list[str]) -> None:
    result = CliRunner().invoke(app, ["token", *whose, "--key", str(tmp_path / "key.pem")])
    assert result.exit_code == 2
    assert not (tmp_path / "key.pem").exists()
