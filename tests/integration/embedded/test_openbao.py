"""The embedded OpenBao: sealed, stopped, counted; and its PKI engine."""

import ssl

import httpx
import pytest
from cryptography import x509
from scenes import tls_pair

from embedded.openbao import OpenBao
from embedded.plain_http import plain_http
from embedded.process import ServerFailed


async def test_a_sealed_server_answers_503_and_an_unsealed_one_has_its_data(state_dir):
    async with OpenBao.start(state_dir) as openbao:
        await openbao.mount_kv("kv")
        await openbao.request("POST", "kv/data/a", {"data": {"n": 1}})
        await openbao.seal()
        with pytest.raises(ServerFailed, match="503"):
            await openbao.request("GET", "kv/data/a")
        await openbao.unseal()
        assert (await openbao.request("GET", "kv/data/a"))["data"]["data"] == {"n": 1}

        await openbao.stop()
        with pytest.raises(httpx.ConnectError):
            await openbao.request("GET", "kv/data/a")
        await openbao.start_again(unseal=False)
        with pytest.raises(ServerFailed, match="503"):
            await openbao.request("GET", "kv/data/a")
        await openbao.unseal()
        assert (await openbao.request("GET", "kv/data/a"))["data"]["data"] == {"n": 1}

        written = [path for path in openbao.home.rglob("*") if path.is_file()]
        assert not any(openbao.root_token.encode() in path.read_bytes() for path in written)


async def test_secrets_of_the_server_and_of_approles_are_not_in_their_repr(vault_mount):
    text = repr(vault_mount)
    assert vault_mount.openbao.root_token not in text
    assert vault_mount.control.secret_id not in text
    assert vault_mount.control.role_id in text


async def test_reads_are_counted_by_mount(openbao, vault_mount):
    path = f"{vault_mount.path}/data/nameplate/certs/x"
    await openbao.request("POST", path, {"data": {"n": 1}})
    before = await vault_mount.read_count()
    for _ in range(3):
        await openbao.request("GET", path)
    assert await vault_mount.read_count() == before + 3


async def test_a_check_and_set_that_is_too_late_is_refused(openbao, vault_mount):
    path = f"{vault_mount.path}/data/nameplate/certs/x"
    await openbao.request("POST", path, {"data": {"n": 1}, "options": {"cas": 0}})
    with pytest.raises(ServerFailed, match="check-and-set"):
        await openbao.request("POST", path, {"data": {"n": 2}, "options": {"cas": 0}})


async def test_the_acme_directory_answers(pki):
    async with plain_http() as client:
        directory = (await client.get(pki.directory_url)).json()
        nonce = await client.head(directory["newNonce"])
    assert directory["newOrder"].startswith(pki.openbao.url)
    assert nonce.headers["replay-nonce"]


async def test_a_certificate_is_issued_for_a_wildcard_with_the_leaf_first(pki):
    issued = await pki.issue(["*.platform.test", "platform.test"])
    leaf, intermediate = x509.load_pem_x509_certificates(issued.chain_pem.encode())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["*.platform.test", "platform.test"]
    leaf.verify_directly_issued_by(intermediate)
    intermediate.verify_directly_issued_by(x509.load_pem_x509_certificate(pki.root_pem.encode()))

    # Raises unless the key matches.
    tls_pair.show(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), issued.chain_pem + issued.key_pem)
    assert issued.key_pem not in repr(issued)
