"""The operator's list of CAs, read strictly."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from control.acme.ca import MOST, read_file, read_list

FIRST = '[[ca]]\nname = "first"\ndirectory_url = "https://first.example/dir"\n'
SECOND = '[[ca]]\nname = "second"\ndirectory_url = "https://second.example/dir"\n'


def test_the_order_of_the_file_is_the_order_of_preference_and_the_rest_may_be_left_out():
    first, second = read_list(FIRST + SECOND)
    assert (first.name, second.name) == ("first", "second")
    assert (first.contact, first.profile, first.ca_file, first.eab, first.caa_identities) == (
        "",
        None,
        None,
        False,
        None,
    )


def test_everything_can_be_said(tmp_path):
    (tmp_path / "ca.pem").touch()
    (ca,) = read_list(
        f"""{FIRST}
        contact = "ops@platform.io"
        profile = "tlsserver"
        ca_file = "{tmp_path}/ca.pem"
        eab = true
        caa_identities = ["Letsencrypt.org."]"""
    )
    assert (ca.contact, ca.profile, ca.eab) == ("mailto:ops@platform.io", "tlsserver", True)
    assert ca.caa_identities == ("letsencrypt.org",)
    assert ca.ca_file == tmp_path / "ca.pem"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "has no [[ca]]"),
        ("ca = []", "has no [[ca]]"),
        ("[ca]\nname = 'x'", "has no [[ca]]"),
        ("ca = ['x']", "has no [[ca]]"),
        ("[[ca", "is not TOML"),
        (FIRST + "[other]", "'other' beside [[ca]]"),
        ("[[ca]]\nname = 'x'", "number 1: directory_url: Field required"),
        ("[[ca]]\ndirectory_url = 'https://x/'", "number 1: name: Field required"),
        (FIRST + "profil = 'x'", "number 1: profil: Extra inputs"),
        (FIRST + SECOND + "eab = 'yes'", "number 2: eab: Input should be a valid boolean"),
        (FIRST + "eab = 1", "number 1: eab: Input should be a valid boolean"),
        (FIRST + "profile = ''", "number 1: profile:"),
        (FIRST + "profile = 'a b'", "number 1: profile:"),
        (FIRST + "contact = 'nobody'", "number 1: contact: must be a mail address or a URL"),
        (FIRST + "contact = 'a b@c'", "number 1: contact: must be a mail address or a URL"),
        (FIRST + "ca_file = '/nonexistent'", "number 1: ca_file: Path does not point to a file"),
        (FIRST + "caa_identities = []", "number 1: caa_identities:"),
        (FIRST + "caa_identities = ['not a name']", "number 1: caa_identities.0: is not a hostname"),
        (FIRST + FIRST.replace("first", "other", 1), "two CAs of one directory_url"),
        (FIRST + SECOND.replace('"second"', '"first"'), "two CAs of one name"),
        (FIRST * (MOST + 1), f"more than {MOST} CAs"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text, complaint):
    with pytest.raises(ValueError, match=re.escape(complaint)):
        read_list(text)


@pytest.mark.parametrize(
    "url",
    ["", "ca.example/dir", "ftp://ca.example/", "https://", "https://ca.example/d r", "https://a:b@ca.example/",
     "https://ca.example/dir#x", "https://ca.example:99999/", "https://[::1/"],
)  # fmt: skip
def test_a_directory_that_no_request_can_be_sent_to_is_refused(url):
    with pytest.raises(ValueError, match="directory_url"):
        read_list(f'[[ca]]\nname = "x"\ndirectory_url = "{url}"')


@pytest.mark.parametrize("name", ["", "Let's Encrypt", "UPPER", "-x", "x" * 33, "a\\nb"])
def test_a_name_that_is_no_label_is_refused(name):
    with pytest.raises(ValueError, match="number 1: name"):
        read_list(f'[[ca]]\nname = "{name}"\ndirectory_url = "https://ca.example/"')


def test_no_complaint_quotes_what_may_be_a_secret():
    with pytest.raises(ValueError, match="Extra inputs") as refused:
        read_list(FIRST + 'hmac = "hunter2"')
    assert "hunter2" not in str(refused.value)


def test_a_file_that_cannot_be_read_is_a_complaint_too(tmp_path):
    (tmp_path / "latin").write_bytes(b"name = '\xe9'")
    for path, complaint in (
        (tmp_path / "none", "cannot be read"),
        (tmp_path, "cannot be read"),
        (tmp_path / "latin", "UTF-8"),
    ):
        with pytest.raises(ValueError, match=complaint):
            read_file(Path(path))
