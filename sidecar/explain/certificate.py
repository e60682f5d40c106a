"""The certificate that a client with an SNI would get: the resolver's answer, with the facts behind it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from core.certificate import CertificateError
from sidecar.certs.platform import PlatformCertificate
from sidecar.certs.secrets import Known, LoadedCertificate, version_of
from sidecar.directory.entry import Entry
from sidecar.explain.sources import Certificates
from sidecar.xds.resolver import DEFAULT_NAME, Answer, Failed, Later, Outcome, Removed, Served

PLATFORM, UPLOADED, MANAGED = "platform", "uploaded", "managed"

# What the answer means for a handshake. `fetched` is normal: Envoy asks when the first client comes.
STATES: Mapping[type | Later, str] = {Served: "served", Removed: "refused", Failed: "failed", Later.LOAD: "fetched"}
WHY: Mapping[Outcome, str] = {
    Outcome.UNKNOWN: "There is no certificate for this name.",
    Outcome.INVALID: "This is no name that a certificate could be for.",
    Outcome.UNAVAILABLE: "PostgreSQL or Vault did not answer in time.",
    Outcome.UNFIT: "The certificate may not be served: it is expired, not yet valid, or another name's.",
}


class CertificateSection:
    def __init__(self, certificates: Certificates, platform: PlatformCertificate) -> None:
        self._certificates = certificates
        self._platform = platform

    def describe(self, name: str, entry: Entry | None, answer: Answer) -> dict[str, Any]:
        """`name`: of the secret. `entry`: the row that answers for the SNI; None: none, or no SNI."""
        own = entry if entry is not None and not entry.platform else None
        source: str | None
        if own is not None:
            known, source = self._certificates.known(own), UPLOADED if own.uploaded else MANAGED
        elif entry is not None or name == DEFAULT_NAME:
            known, source = self._platform_known(), PLATFORM
        else:
            known, source = Known(), None
        section: dict[str, Any] = {
            "secret": name,
            "state": STATES[answer if isinstance(answer, Later) else type(answer)],
            "source": source,
            "in_memory": known.certificate is not None,
            "current": known.current,
        }
        if isinstance(answer, Removed | Failed):
            section["why"] = {"code": answer.outcome.value, "message": WHY[answer.outcome]}
        section["version"] = _version(own, known)
        if isinstance(answer, Removed):
            return section
        section |= _facts(known.certificate) or ({} if own is None else _announced(own))
        if known.certificate is not None and (unfit := _unfit(known.certificate, name, entry)) is not None:
            section["unfit"] = unfit
        if known.trouble is not None:
            trouble = known.trouble
            section["last_failure"] = {"code": trouble.code, "message": trouble.message, "at": moment(trouble.at)}
        return section

    def _platform_known(self) -> Known:
        current = self._platform.current
        return Known(current, current is not None, self._platform.trouble)


def _version(own: Entry | None, known: Known) -> str | None:
    """What Envoy is told, or would be."""
    if own is not None:
        return None if own.fingerprint is None else version_of(own.fingerprint, own.vault_version, own.uploaded)
    return None if known.certificate is None else known.certificate.version


def _facts(certificate: LoadedCertificate | None) -> dict[str, Any]:
    if certificate is None:
        return {}
    facts = certificate.facts
    return {
        "serial": facts.serial,
        "issuer": facts.issuer,
        "fingerprint": facts.fingerprint,
        "names": list(facts.names),
        "not_before": facts.not_before.isoformat(),
        "not_after": facts.not_after.isoformat(),
    }


def _announced(entry: Entry) -> dict[str, Any]:
    """What the directory says of a certificate that is not in memory."""
    return {"fingerprint": entry.fingerprint, "not_after": moment(entry.not_after)}


def _unfit(certificate: LoadedCertificate, name: str, entry: Entry | None) -> dict[str, str] | None:
    """Why the one in memory may not be served, in the words of the check itself."""
    try:
        certificate.check(name if entry is not None else None)
    except CertificateError as error:
        return {"code": error.code, "message": error.message}
    return None


def moment(seconds: float | None) -> str | None:
    """Unix seconds → RFC 3339."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
