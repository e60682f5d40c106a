"""The pending key and its signing request."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from control.certificates.key import PendingKey


def test_it_is_ecdsa_p256_and_each_one_is_new():
    one, other = PendingKey.make(), PendingKey.make()
    assert one.private_key().curve.name == "secp256r1"
    assert one.pem != other.pem


def test_its_repr_does_not_show_it():
    key = PendingKey.make()
    assert "PRIVATE" not in repr(key)
    assert key.pem.splitlines()[1] not in repr(key)


def test_a_request_names_the_hostname_in_san_only_and_is_signed_by_the_key():
    key = PendingKey.make()
    hostname = "a" * 60 + ".shop.example.com"  # longer than a common name may be
    request = key.signing_request(hostname)
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [hostname]
    assert list(request.subject) == []
    assert request.is_signature_valid
    assert request.public_key() == key.private_key().public_key()
    assert isinstance(request.public_key(), ec.EllipticCurvePublicKey)
