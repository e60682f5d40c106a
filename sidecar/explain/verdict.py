"""Whether a host would be served, and what stands in the way: read off the sections of an explanation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sidecar.authz.refusal import Outcome

Why = dict[str, str]  # code, message

MESSAGES: Mapping[str, str] = {
    Outcome.NOT_CONFIGURED: "No live domain has this name.",
    Outcome.MISDIRECTED: "The certificate that this SNI gets does not cover the host.",
    Outcome.UNAVAILABLE: "It cannot be decided now: what all domains share is not loaded, or not readable.",
    Outcome.CLIENT_MISDIRECTED: "The host asks for client certificates, so its SNI must be the host itself.",
}


def verdict(sections: Mapping[str, Any]) -> tuple[bool | None, list[Why]]:
    """True without a reason; False with its reasons; None when memory does not say, with what helps."""
    why = list(_hindrances(sections))
    if why:
        return False, why
    if sections["decisions"]["request"]["passes"] is None:
        return None, [_why("not_in_memory", "Ask with load=1 to have it read.")]
    return True, []


def _hindrances(sections: Mapping[str, Any]) -> Iterator[Why]:
    request, row = sections["decisions"]["request"], sections["row"]
    if request["passes"] is False:
        yield _why(request["outcome"], _refused(request["outcome"], row))
    yield from _of_certificate(sections["certificate"])
    yield from _of_envoys("certificate", sections["envoys"])
    yield from _of_envoys("listener", sections["listeners"])
    yield from _of_service(sections["service"])
    if (auth := sections["client_auth"]) is not None and auth["mode"] == "shut":
        yield _why("client_auth_left_out", auth["reason"])


def _of_certificate(certificate: Mapping[str, Any]) -> Iterator[Why]:
    state = certificate["state"]
    if state in {"refused", "failed"}:
        found = next((certificate[name] for name in ("unfit", "last_failure", "why") if name in certificate), None)
        yield _why(f"certificate_{state}", "There is no certificate." if found is None else found["message"])
    elif state == "fetched" and (failure := certificate.get("last_failure")) is not None:
        yield _why(failure["code"], failure["message"])


def _of_envoys(what: str, envoys: Sequence[Mapping[str, Any]]) -> Iterator[Why]:
    """One that rejects a newer version serves the one it has; one that has none serves nobody."""
    for envoy in envoys:
        if envoy["rejected"] is not None and envoy["version"] is None:
            yield _why(f"{what}_rejected", f"{envoy['node'] or 'An Envoy'} rejects it: {envoy['rejected']['reason']}")


def _of_service(service: Mapping[str, Any] | None) -> Iterator[Why]:
    if service is None or not service["in_force"]:
        return
    if service["state"] != "configured":
        yield _why(f"service_{service['state']}", service["reason"])
    looked = service.get("upstream") or []
    if looked and not any(one["ok"] for one in looked):
        for one in looked:
            yield _why(one["code"], f"{one['address']}: {one['reason']}")


def _refused(outcome: str, row: Mapping[str, Any]) -> str:
    if outcome == Outcome.NOT_CONFIGURED:
        if row["hostname"] is None:
            return str(row["why"])
        if not row["live"]:
            return "The domain is proven, but has no certificate yet."
    return MESSAGES.get(outcome, "The request is refused.")


def _why(code: str, message: str) -> Why:
    return {"code": code, "message": message}
