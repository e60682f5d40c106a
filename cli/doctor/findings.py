"""Every finding of the doctor: how bad it is, what it means, and the command or the setting that mends it.

docs/doctor.md has this table; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple


class Level(StrEnum):
    """`problem`: something does not work, or is not safe; the exit code is 1. `warning`: it will not, or may not be."""

    WELL = "well"
    WARNING = "warning"
    PROBLEM = "problem"


class Known(NamedTuple):
    level: Level
    meaning: str
    mend: str


_P, _W = Level.PROBLEM, Level.WARNING
_POLICY = "nameplate vault-policy {process} --mount={mount} | vault policy write nameplate-{process} -"

FINDINGS: Mapping[str, Known] = {
    "check_took_too_long": Known(_P, "A check did not end in its time.", "see what {name} waits for: a firewall?"),
    # PostgreSQL
    "postgresql_unreachable": Known(
        _P, "There is no connection as this role.", "check {variable} and its password, and that the server runs"
    ),
    "postgresql_old": Known(_P, "The server is older than what the schema needs.", "use PostgreSQL 16 or newer"),
    "postgresql_wrong_role": Known(
        _P, "The URL leads to another role than it should.", "connect as {role}: {variable}"
    ),
    "postgresql_role_mighty": Known(
        _P,
        "The role may more than row level security can hold.",
        "psql -c 'ALTER ROLE {role} NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB NOREPLICATION'",
    ),
    "postgresql_role_member": Known(_P, "The role may act as another one.", "psql -c 'REVOKE {above} FROM {role}'"),
    "postgresql_right_missing": Known(
        _P, "The role lacks a right that a migration gave it.", "psql -c 'GRANT SELECT ON {relation} TO {role}'"
    ),
    "postgresql_right_excess": Known(
        _P, "The role has a right that no migration gave it.", "psql -c 'REVOKE {right} ON {relation} FROM {role}'"
    ),
    "postgresql_in_clear": Known(
        _W, "Passwords and rows go over a network without TLS.", "add sslmode=verify-full&sslrootcert=… to {variable}"
    ),
    "postgresql_unverified": Known(
        _W, "TLS, but to whoever answers.", "add sslmode=verify-full&sslrootcert=… to {variable}"
    ),
    "migrations_missing": Known(
        _P, "The database is older than this release.", "NAMEPLATE_OWNER_DATABASE_URL=… nameplate migrate"
    ),
    "migrations_other": Known(
        _P, "The database was migrated by another release.", "run the release that migrated it, or a newer one"
    ),
    "rls_not_forced": Known(
        _P,
        "A table shows its rows to whoever may read it.",
        "psql -c 'ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY'",
    ),
    "tenants_not_apart": Known(_P, "The API's role sees rows of every tenant.", "connect as nameplate_api: {variable}"),
    "listener_behind_pooler": Known(
        _P,
        "Notifications do not come through; everything waits for timers.",
        "set {variable} to PostgreSQL's own address",
    ),
    # Vault
    "vault_unreachable": Known(_P, "Nothing answers as Vault does.", "check NAMEPLATE_VAULT_ADDR and …_CA_FILE"),
    "vault_sealed": Known(_P, "Vault is sealed, or was never initialised.", "vault operator unseal"),
    "vault_login_unreadable": Known(_P, "What to log in with cannot be read.", "check {variable}"),
    "vault_login_refused": Known(
        _P, "Vault does not take the login.", "check {variable}, NAMEPLATE_VAULT_AUTH_MOUNT and …_NAMESPACE"
    ),
    "vault_mount_missing": Known(
        _P, "There is no secrets engine at the mount.", "vault secrets enable -version=2 -path={mount} kv"
    ),
    "vault_mount_version": Known(_P, "The mount is no KV version 2.", "vault kv enable-versioning {mount}"),
    "vault_policy_short": Known(_P, "The policy does not allow what the process does.", _POLICY),
    "vault_policy_wide": Known(_P, "The token may more than the process needs.", _POLICY),
    "vault_token_opaque": Known(
        _W, "The token may not look at itself, so neither can the doctor.", "vault policy read default"
    ),
    "vault_token_ends": Known(_W, "The token ends soon and cannot be renewed.", "{mend}"),
    "platform_certificate_missing": Known(
        _P,
        "The platform's own certificate is not in Vault.",
        "vault kv put -mount={mount} {path} chain=@chain.pem key=@key.pem",
    ),
    "platform_certificate_over": Known(
        _P,
        "It is there, and cannot be served, or not for long.",
        "vault kv put -mount={mount} {path} chain=@chain.pem key=@key.pem",
    ),
    "eab_missing": Known(
        _P,
        "A CA's external account binding is not in Vault.",
        "vault kv put -mount={mount} {path} key_id=… hmac=@hmac.txt",
    ),
    # tokens, CAs, DNS, clocks
    "token_keys_missing": Known(_P, "Every request to the API would be refused.", "check {variable}"),
    "ca_unreachable": Known(_P, "The CA's directory cannot be read.", "check {variable}, and the CA's ca_file"),
    "ca_profile_unknown": Known(_P, "The CA does not offer the profile.", "check {variable}"),
    "ca_wants_binding": Known(
        _P,
        "The CA takes no account without a binding.",
        "write eab = true into the file of NAMEPLATE_ACME_CAS_FILE; doctor says then where Vault wants it",
    ),
    "zone_unwritable": Known(
        _P, "No record can be set for DNS-01.", "check NAMEPLATE_ACME_DNS_…, and the servers: see docs/dns-01.md"
    ),
    "resolvers_unusable": Known(_P, "There is nobody to ask.", "check NAMEPLATE_DNS_RESOLVERS"),
    "resolver_silent": Known(
        _P, "A resolver does not answer.", "check NAMEPLATE_DNS_RESOLVERS, and UDP and TCP port 53"
    ),
    "resolver_rewrites": Known(
        _P,
        "A resolver makes up addresses for names that do not exist.",
        "take {resolver} out of NAMEPLATE_DNS_RESOLVERS",
    ),
    "target_unknown": Known(
        _P, "Tenants' CNAMEs would lead nowhere.", "make {target} and *.{target} lead to your Envoys"
    ),
    "resolvers_disagree": Known(
        _W,
        "Two resolvers know other addresses of the target.",
        "wait for the records' TTL; then check the zone's servers",
    ),
    "clock_off": Known(_P, "This machine's clock, or theirs, is wrong.", "timedatectl set-ntp true"),
    "clock_apart": Known(_W, "The clocks drift apart.", "timedatectl set-ntp true"),
    # mails, pages, addresses of control
    "smtp_unusable": Known(_P, "Mails cannot be sent.", "check NAMEPLATE_SMTP_URL and …_SMTP_CA_FILE"),
    "ui_unreachable": Known(
        _W, "Nobody answers where the pages are said to be.", "check NAMEPLATE_UI_URL, and what is in front"
    ),
    "port_taken": Known(_P, "Another program listens where control would.", "check NAMEPLATE_API_LISTEN: ss -ltnp"),
    # beside Envoy
    "socket_directory": Known(
        _P, "The sidecar cannot make its sockets there.", "install -d -m 0700 -o $(id -un) {directory}"
    ),
    "socket_foreign": Known(_P, "Something that is no socket has the name.", "rm {path}"),
    "socket_stale": Known(_W, "The socket of a process that has gone.", "start nameplate sidecar: it takes its place"),
    "socket_missing": Known(_W, "The sidecar does not run.", "nameplate sidecar"),
    "socket_open": Known(_P, "Others than the sidecar's user may ask for keys.", "chmod 600 {path}"),
    "socket_closed": Known(
        _P, "This user, and an Envoy that runs as it, may not connect.", "run Envoy as the user {owner}"
    ),
    "state_directory": Known(
        _P,
        "No snapshot can be kept: a restart would wait for PostgreSQL.",
        "install -d -m 0700 -o $(id -un) {directory}",
    ),
    "sidecar_not_ready": Known(_P, "The sidecar runs and cannot serve.", "curl http://{admin}/readyz; see its log"),
    "envoy_missing": Known(_W, "There is no Envoy on the PATH to look at.", "nameplate doctor sidecar --envoy=PATH"),
    "envoy_version": Known(_P, "This Envoy's version is not one that is known to work.", "use Envoy {versions}"),
    "envoy_configuration": Known(
        _P, "Envoy refuses its bootstrap.", "nameplate bootstrap > envoy.yaml; {envoy} --mode validate -c envoy.yaml"
    ),
    "envoy_admin": Known(
        _W, "Envoy's administration does not answer.", "envoy -c envoy.yaml; or name it: --envoy-admin=IP:PORT"
    ),
    "envoy_not_live": Known(_P, "Envoy runs and does not serve yet.", "see Envoy's log; curl http://{admin}/init_dump"),
}
