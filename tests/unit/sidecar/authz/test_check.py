"""Every row on requests of the resolution order in sidecar/authz/policy.py, as an ext_authz server answers it."""

from __future__ import annotations

import pytest
from scenes.checks import (
    ENTRIES,
    TENANTS,
    TOKEN,
    Names,
    Tokens,
    answer,
    connection_request,
    entry,
    passed,
    plain,
    refused,
    secure,
)
from scenes.edges import edges

from sidecar.authz.answers import KEPT
from sidecar.authz.check import Checker
from sidecar.authz.policy import Kind, Pending
from sidecar.wire.check_pb2 import CheckRequest, CheckResponse

TENANT_A, TENANT_B = TENANTS
WORLD = (*ENTRIES, entry("*.deep.example", 1))


@pytest.fixture
def names() -> Names:
    return Names(WORLD)


@pytest.fixture
def checker(names: Names) -> Checker[bytes]:
    return Checker(names, Tokens(), edges(), bytes)


def test_a_message_that_cannot_be_read_is_refused(checker: Checker[bytes]) -> None:
    status, _, _ = refused(checker.check(b"\xff\xff\xff"))
    assert status == 403


def test_a_host_that_is_not_utf8_is_refused(checker: Checker[bytes]) -> None:
    broken = secure("shop.mybrand.co").replace(b"shop", b"sh\xffp")
    assert refused(checker.check(broken))[0] == 403


def test_a_connection_that_is_not_tls_is_never_let_through_the_tls_listener(checker: Checker[bytes]) -> None:
    request = CheckRequest()
    request.attributes.request.http.host = "acme.platform.io"
    assert refused(checker.check(request.SerializeToString()))[0] == 421


@pytest.mark.parametrize(
    ("host", "sni", "tenant", "row"),
    [
        ("shop.mybrand.co", "shop.mybrand.co", TENANT_A, "shop.mybrand.co"),
        ("SHOP.MyBrand.co", "shop.MYBRAND.co", TENANT_A, "shop.mybrand.co"),
        ("shop.mybrand.co.", "shop.mybrand.co", TENANT_A, "shop.mybrand.co"),
        ("shop.mybrand.co:8443", "shop.mybrand.co", TENANT_A, "shop.mybrand.co"),
        ("a.wild.example", "a.wild.example", TENANT_A, "*.wild.example"),
        ("a.wild.example", "b.wild.example", TENANT_A, "*.wild.example"),
        ("own.wild.example", "own.wild.example", TENANT_B, "own.wild.example"),
        ("acme.platform.io", "acme.platform.io", TENANT_A, "acme.platform.io"),
        ("acme.platform.io", "zeta.platform.io", TENANT_A, "acme.platform.io"),
        ("acme.platform.io", "", TENANT_A, "acme.platform.io"),
    ],
)
def test_a_live_name_is_let_through_with_its_tenant_and_row(
    checker: Checker[bytes], host: str, sni: str, tenant: str, row: str
) -> None:
    told = {"x-tenant-id": tenant, "x-nameplate-host": row, "x-nameplate-cluster": "service/default"}
    assert passed(checker.check(secure(host, sni))) == told


@pytest.mark.parametrize(
    "host",
    [
        "",
        "*",
        "shop",
        "192.0.2.1",
        "[2001:db8::1]:443",
        "shop_.mybrand.co",
        "shop..mybrand.co",
        "*.wild.example",
        "a" * 254 + ".example",
        "x.y.wild.example",
        "wild.example",
        "nobody.example",
        "nobody.platform.io",
        "soon.mybrand.co",
        "shop.mybrand.co\r\nx-tenant-id: 1",
        "shop.mybrand.co\x00",
        "ſhop.mybrand.co",
    ],
)
def test_a_name_that_is_invalid_unknown_or_not_live_gets_the_page(checker: Checker[bytes], host: str) -> None:
    status, headers, body = refused(checker.check(secure(host)))
    assert status == 404
    assert headers == {"content-type": "text/html; charset=utf-8", "cache-control": "no-store"}
    assert "Domain not configured for this platform" in body
    assert "http" not in body, "the page loads nothing from elsewhere"


@pytest.mark.parametrize(
    ("host", "sni"),
    [
        ("other.mybrand.co", "shop.mybrand.co"),
        ("shop.mybrand.co", ""),
        ("a.wild.example", ""),
        ("shop.mybrand.co", "acme.platform.io"),
        ("acme.platform.io", "shop.mybrand.co"),
        ("own.wild.example", "a.wild.example"),
        ("a.wild.example", "own.wild.example"),
        ("a.wild.example", "a.deep.example"),
        ("shop.mybrand.co", "default"),
        ("acme.platform.io", "default"),
        ("shop.mybrand.co", "nobody.example"),
        ("shop.mybrand.co", "shop.mybrand.co."),
        ("shop.mybrand.co", "192.0.2.1"),
    ],
)
def test_a_host_that_the_served_certificate_does_not_cover_is_misdirected(
    checker: Checker[bytes], host: str, sni: str
) -> None:
    assert refused(checker.check(secure(host, sni)))[0] == 421


def test_the_page_comes_before_the_misdirection(checker: Checker[bytes]) -> None:
    assert refused(checker.check(secure("nobody.example", "shop.mybrand.co")))[0] == 404


@pytest.mark.parametrize("path", ["/.well-known/acme-challenge/" + TOKEN, "/"])
def test_the_tls_listener_answers_no_challenge(checker: Checker[bytes], path: str) -> None:
    assert passed(checker.check(secure("shop.mybrand.co", path=path)))["x-tenant-id"] == TENANT_A


def test_an_unknown_host_must_be_loaded_first(checker: Checker[bytes]) -> None:
    pending = Pending(Kind.HOSTNAME, "miss.example")
    assert checker.check(secure("miss.example")) == pending
    assert checker.check(plain("miss.example")) == pending
    assert refused(checker.check(secure("miss.example"), {pending}))[0] == 404
    assert refused(checker.check(plain("miss.example"), {pending}))[0] == 404


def test_an_unknown_sni_must_be_loaded_before_the_host_is_called_misdirected(checker: Checker[bytes]) -> None:
    pending = Pending(Kind.HOSTNAME, "miss.example")
    assert checker.check(secure("shop.mybrand.co", "miss.example")) == pending
    assert refused(checker.check(secure("shop.mybrand.co", "miss.example"), {pending}))[0] == 421


@pytest.mark.parametrize("host", ["shop.mybrand.co", "nobody.example", "192.0.2.1", ""])
@pytest.mark.parametrize("suffix", ["", "?x=1"])
def test_a_known_challenge_is_answered_for_any_host(checker: Checker[bytes], host: str, suffix: str) -> None:
    status, headers, body = refused(checker.check(plain(host, f"/.well-known/acme-challenge/{TOKEN}{suffix}")))
    assert (status, body) == (200, f"{TOKEN}.thumb")
    assert headers["content-type"].startswith("text/plain")


def test_an_unknown_challenge_is_loaded_once_and_then_not_found(checker: Checker[bytes]) -> None:
    request = plain("shop.mybrand.co", "/.well-known/acme-challenge/" + "x" * 128)
    pending = Pending(Kind.TOKEN, "x" * 128)
    assert checker.check(request) == pending
    assert refused(checker.check(request, {pending}))[0] == 404


@pytest.mark.parametrize("token", ["", "x" * 129, "a.b", "a/b", "a%41", "..", "ä", "a b", TOKEN + "/"])
def test_what_is_no_token_is_not_found_without_a_load(checker: Checker[bytes], token: str) -> None:
    assert refused(checker.check(plain("shop.mybrand.co", f"/.well-known/acme-challenge/{token}")))[0] == 404


@pytest.mark.parametrize(
    ("host", "path", "location"),
    [
        ("shop.mybrand.co", "/", "https://shop.mybrand.co/"),
        ("Shop.MyBrand.co.:8080", "/a/b?c=d&e=%2F", "https://shop.mybrand.co/a/b?c=d&e=%2F"),
        ("a.wild.example", "/", "https://a.wild.example/"),
        ("acme.platform.io", "//evil.example", "https://acme.platform.io//evil.example"),
        ("shop.mybrand.co", "/a\r\nset-cookie: x", "https://shop.mybrand.co/a%0D%0Aset-cookie:%20x"),
        ("shop.mybrand.co", b"/\xff\x00", "https://shop.mybrand.co/%FF%00"),
        ("shop.mybrand.co", "/.well-known/acme-challenge", "https://shop.mybrand.co/.well-known/acme-challenge"),
    ],
)
def test_a_live_name_on_the_plain_listener_is_redirected(
    checker: Checker[bytes], host: str, path: str | bytes, location: str
) -> None:
    status, headers, _ = refused(checker.check(plain(host, path)))
    assert status == 308
    assert headers["location"] == location
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize("host", ["nobody.example", "soon.mybrand.co", "192.0.2.1", "*", ""])
def test_any_other_name_on_the_plain_listener_gets_the_page(checker: Checker[bytes], host: str) -> None:
    assert refused(checker.check(plain(host)))[0] == 404


@pytest.mark.parametrize("path", ["*", "", "shop.mybrand.co:443"])
def test_a_request_without_a_path_is_not_redirected(checker: Checker[bytes], path: str) -> None:
    assert refused(checker.check(plain("shop.mybrand.co", path)))[0] == 404


def test_an_unknown_kind_of_listener_is_a_plain_one(checker: Checker[bytes]) -> None:
    assert refused(checker.check(plain("shop.mybrand.co", listener="https")))[0] == 308


def test_a_plain_connection_is_one_with_an_empty_tls_session_too(checker: Checker[bytes]) -> None:
    """As Envoy 1.40 sends it."""
    for host in ("shop.mybrand.co", "acme.platform.io"):
        request = CheckRequest.FromString(plain(host))
        request.attributes.tls_session.SetInParent()
        assert request.attributes.HasField("tls_session")
        assert refused(checker.check(request.SerializeToString()))[0] == 308


def test_what_came_over_tls_is_judged_as_that_whatever_its_listener_is_called(checker: Checker[bytes]) -> None:
    for sni, status in (("shop.mybrand.co", None), ("a.wild.example", 421)):
        request = CheckRequest.FromString(plain("shop.mybrand.co"))
        request.attributes.tls_session.sni = sni
        for _ in range(2):  # the second time from memory
            given = checker.check(request.SerializeToString())
            assert (
                passed(given)["x-nameplate-host"] == "shop.mybrand.co"
                if status is None
                else refused(given)[0] == status
            )


@pytest.mark.parametrize("host", ["shop.mybrand.co", "a.wild.example", "acme.platform.io"])
def test_a_name_that_changed_hands_is_let_through_with_its_new_tenant(
    names: Names, checker: Checker[bytes], host: str
) -> None:
    row = passed(checker.check(secure(host)))["x-nameplate-host"]
    assert checker.check(secure(host)) == checker.check(secure(host))
    names.entries[row] = entry(row, 1)
    assert passed(checker.check(secure(host)))["x-tenant-id"] == TENANT_B
    assert passed(checker.check(secure(host)))["x-tenant-id"] == TENANT_B
    names.entries[row] = entry(row, live=False)
    assert refused(checker.check(secure(host)))[0] == 404
    del names.entries[row]
    assert refused(checker.check(secure(host)))[0] == 404


@pytest.mark.parametrize("spelling", ["a.wild.example", "A.wild.example"])
def test_a_name_that_got_a_row_of_its_own_is_let_through_with_that(
    names: Names, checker: Checker[bytes], spelling: str
) -> None:
    for _ in range(2):
        assert passed(checker.check(secure(spelling)))["x-nameplate-host"] == "*.wild.example"
    names.entries["a.wild.example"] = entry("a.wild.example", 1)
    assert passed(checker.check(secure(spelling)))["x-nameplate-host"] == "a.wild.example"


@pytest.mark.parametrize(
    ("host", "sni"),
    [
        ("OWN.wild.example", "OWN.wild.example"),
        ("Own.Wild.Example", "own.wild.example"),
        ("own.wild.example.", "own.wild.example"),
        ("own.wild.example:443", "own.wild.example"),
    ],
)
def test_another_spelling_is_answered_from_the_row_of_the_normal_form(
    checker: Checker[bytes], host: str, sni: str
) -> None:
    """Looked up as it is spelled, the name would be found below the wildcard."""
    for _ in range(2):
        assert passed(checker.check(secure(host, sni)))["x-nameplate-host"] == "own.wild.example"


def test_an_answer_is_finished_once_for_a_name_and_once_for_a_constant_refusal() -> None:
    finished: list[bytes] = []

    def finish(reply: bytes) -> int:
        finished.append(reply)
        return len(finished)

    checker = Checker(Names(WORLD), Tokens(), edges(), finish)
    constant = len(finished)
    assert {checker.check(secure("shop.mybrand.co")) for _ in range(3)} == {constant + 1}
    assert len({checker.check(secure("nobody.example")) for _ in range(3)}) == 1
    assert len(finished) == constant + 1


def test_no_more_answers_are_kept_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert KEPT >= 1000
    monkeypatch.setattr("sidecar.authz.answers.KEPT", 2)
    hosts = [f"h{number}.example" for number in range(4)]
    owners = {host: number % 2 for number, host in enumerate(hosts)}
    checker = Checker(Names(entry(host, owners[host]) for host in hosts), Tokens(), edges(), bytes)
    for host in hosts + hosts:
        assert passed(checker.check(secure(host)))["x-tenant-id"] == TENANTS[owners[host]]
    assert list(checker._answers.kept) == hosts[2:]


def test_no_reply_appends_to_a_header_of_the_client(checker: Checker[bytes]) -> None:
    """Field 2 of HeaderValueOption is `append`, which our view does not even have."""
    assert {field.name for field in CheckResponse.HeaderValueOption.DESCRIPTOR.fields} == {"header", "append_action"}
    for option in answer(checker.check(secure("shop.mybrand.co"))).ok_response.headers:
        assert option.append_action == CheckResponse.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD


def test_each_outcome_is_counted(checker: Checker[bytes]) -> None:
    checker.check(b"\xff")
    checker.check(secure("shop.mybrand.co"))
    checker.check(secure("nobody.example"))
    checker.check(secure("shop.mybrand.co", "other.mybrand.co"))
    checker.check(plain("shop.mybrand.co"))
    checker.check(plain("", "/.well-known/acme-challenge/" + TOKEN))
    checker.check(plain("", "/.well-known/acme-challenge/"))
    checker.check(connection_request("shop.mybrand.co"))
    checker.check(connection_request("nobody.example"))
    checker.unavailable()
    assert checker.check(secure("miss.example")) == Pending(Kind.HOSTNAME, "miss.example")
    # Those of client certificates: test_client_checks.py.
    assert {count for outcome, count in checker.stats().items() if not outcome.startswith("client_")} == {1}


def test_what_cannot_be_loaded_is_said_to_be_unavailable(checker: Checker[bytes]) -> None:
    status, headers, _ = refused(checker.unavailable())
    assert status == 503
    assert int(headers["retry-after"]) > 0
