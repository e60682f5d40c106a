from __future__ import annotations

import pytest

from sidecar.certs.origin import Origin


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://vault/v1", Origin("http", "vault", 80, "vault")),
        ("https://Vault.Example:8200", Origin("https", "vault.example", 8200, "vault.example:8200")),
        ("https://[::1]:8200/x", Origin("https", "::1", 8200, "[::1]:8200")),
        ("https://bücher.example/", Origin("https", "xn--bcher-kva.example", 443, "xn--bcher-kva.example")),
        ("http://user:word@vault/", Origin("http", "vault", 80, "vault")),
    ],
)
def test_an_origin_is_read_from_a_url(url: str, origin: Origin) -> None:
    assert Origin.of(url) == origin


@pytest.mark.parametrize(
    "url", ["", "vault:8200", "ftp://vault/", "http://", "http://x:y/", "http://x:99999/", "http://a b/"]
)
def test_what_is_no_http_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        Origin.of(url)


@pytest.mark.parametrize(
    ("location", "origin", "target"),
    [
        ("https://b:1/v1/x?y=1#z", "b:1", "/v1/x?y=1"),
        ("https://b", "b", "/"),
        ("//b/x", "b", "/x"),
        ("/x", "a:8200", "/x"),
        ("x", "a:8200", "/v1/x"),
        ("?y", "a:8200", "/v1/data?y"),
    ],
)
def test_a_redirect_is_relative_to_what_was_asked(location: str, origin: str, target: str) -> None:
    found, path = Origin.of("https://a:8200").redirected("/v1/data?version=1", location)
    assert (found.authority, found.tls, path) == (origin, True, target)


@pytest.mark.parametrize(
    "location", ["", "http://a:8200/v1/data", "ftp://a/", "/a b", "/a\r\nX: y", "/é", "https://x:y/"]
)
def test_a_redirect_out_of_tls_or_to_nowhere_is_refused(location: str) -> None:
    with pytest.raises(ValueError):
        Origin.of("https://a:8200").redirected("/v1/data", location)
