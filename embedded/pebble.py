"""Pebble, the ACME test server of Let's Encrypt (Debian's package `pebble`), on loopback.

By default it refuses some good nonces and waits a random time before it validates: a client must bear both.
It dials whatever address DNS gives for the name, on `http_port`.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx

from embedded import debian
from embedded.localhost_tls import LocalhostTls
from embedded.ports import LOOPBACK, free_ports
from embedded.process import Process

HTTP_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Pebble:
    """A running Pebble. Accounts, orders and its authority are in its memory: a new start is a new CA."""

    home: Path
    port: int
    management_port: int
    http_port: int
    ca_bundle: Path
    root_pem: str
    intermediate_pem: str
    process: Process

    @classmethod
    @asynccontextmanager
    async def start(
        cls,
        state_dir: Path,
        *,
        dns_server: str,
        http_port: int,
        tls_port: int | None = None,
        strict: bool = False,
        no_sleep: bool = False,
        sleep_time: int | None = None,
        nonce_reject: int | None = None,
        authz_reuse: int | None = None,
        always_valid: bool = False,
        external_accounts: Mapping[str, str] | None = None,
        port: int | None = None,
        validity: timedelta | None = None,
        name: str = "pebble",
    ) -> AsyncIterator[Pebble]:
        """Run Pebble in `state_dir/{name}` until the block ends.

        `dns_server` is `host:port`. `http_port` is where HTTP-01 is fetched, `tls_port` where TLS-ALPN-01 is.
        `no_sleep` validates at once, `sleep_time` bounds the random wait in seconds, `nonce_reject` and `authz_reuse`
        are percentages, `always_valid` skips validation; what is not given keeps Pebble's default. `external_accounts`:
        base64url HMAC keys by key id; given, every new account has to be bound to one of them. `port`: of the
        directory, for a Pebble that takes the place of one that has ended. `validity`: of the certificates.
        Raises `ServerFailed`, or `PackageMissing` when the program is not installed.
        """
        home = state_dir / name
        home.mkdir(mode=0o700)
        program = debian.require("pebble", "pebble")
        free, management_port, spare_port = free_ports(3)
        port = port or free
        tls = LocalhostTls.create(home)
        configuration = {
            "listenAddress": f"{LOOPBACK}:{port}",
            "managementListenAddress": f"{LOOPBACK}:{management_port}",
            "certificate": str(tls.certificate),
            "privateKey": str(tls.key),
            "httpPort": http_port,
            "tlsPort": tls_port or spare_port,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": external_accounts is not None,
            "externalAccountMACKeys": dict(external_accounts or {}),
        }
        if validity is not None:
            configuration["certificateValidityPeriod"] = int(validity.total_seconds())
        (home / "config.json").write_text(json.dumps({"pebble": configuration}, indent=2))
        trust = ssl.create_default_context(cafile=str(tls.authority))

        async def answers() -> bool:
            try:
                async with httpx.AsyncClient(verify=trust, trust_env=False, timeout=HTTP_TIMEOUT) as client:
                    directory = await client.get(f"https://{LOOPBACK}:{port}/dir")
                    roots = await client.get(f"https://{LOOPBACK}:{management_port}/roots/0")
            except httpx.TransportError:
                return False
            return directory.status_code == roots.status_code == 200

        arguments = ["-config", str(home / "config.json"), "-dnsserver", dns_server]
        process = await Process.start(
            "Pebble",
            [program, *arguments, *(["-strict"] if strict else [])],
            log_path=home / "pebble.log",
            ready=answers,
            env=_environment(no_sleep, sleep_time, nonce_reject, authz_reuse, always_valid),
            cwd=home,
        )
        try:
            tls.key.unlink()  # it has been read; no key stays on disk
            async with httpx.AsyncClient(verify=trust, trust_env=False, timeout=HTTP_TIMEOUT) as client:
                root, intermediate = [
                    (await client.get(f"https://{LOOPBACK}:{management_port}/{which}/0")).text
                    for which in ("roots", "intermediates")
                ]
            yield cls(
                home=home,
                port=port,
                management_port=management_port,
                http_port=http_port,
                ca_bundle=tls.authority,
                root_pem=root,
                intermediate_pem=intermediate,
                process=process,
            )
        finally:
            await process.stop()

    @property
    def directory_url(self) -> str:
        """The ACME directory; its TLS is trusted through `ca_bundle`."""
        return f"https://{LOOPBACK}:{self.port}/dir"

    @property
    def log_path(self) -> Path:
        return self.process.log_path


def _environment(
    no_sleep: bool,
    sleep_time: int | None,
    nonce_reject: int | None,
    authz_reuse: int | None,
    always_valid: bool,
) -> dict[str, str]:
    values = {
        "PEBBLE_VA_NOSLEEP": 1 if no_sleep else None,
        "PEBBLE_VA_SLEEPTIME": sleep_time,
        "PEBBLE_WFE_NONCEREJECT": nonce_reject,
        "PEBBLE_AUTHZREUSE": authz_reuse,
        "PEBBLE_VA_ALWAYS_VALID": 1 if always_valid else None,
    }
    return {name: str(value) for name, value in values.items() if value is not None}
