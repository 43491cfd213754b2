"""Whom a client certificate stands for: the profile, shape by shape."""

import base64
import hashlib

import pytest
from certificate_world import CLIENT, NOT_ASCII, NOW, SERVER, leaf, raw_san, signer, uri
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import example, given
from hypothesis import strategies as st

from agpd.errors import Code, Fatal
from agpd.gateway.principal import Principal
from agpd.names import parse
from agpd.transport.identity import LEEWAY_S, Profile, principal_of

CA = signer()
PROFILE = Profile(lambda: NOW)
WRITER = uri("agp://acme/dev/writer")
GOOD = leaf(CA, WRITER)


def refusal(der, profile=PROFILE):
    with pytest.raises(Fatal) as caught:
        principal_of(der, profile)
    assert caught.value.code is Code.UNAUTHENTICATED
    return caught.value.detail


@pytest.mark.parametrize(
    ("text", "yes", "no"),
    [
        ("acme/dev/writer", "acme/dev/writer/1", "acme/dev/writers/1"),
        ("acme/dev/*", "acme/dev/reader/1", "acme/prod/reader/1"),
        ("acme/*", "acme/prod/reader/1", "other/dev/reader/1"),
        ("acme/dev/writer/7", "acme/dev/writer/7", "acme/dev/writer/8"),
    ],
)
def test_a_certificate_speaks_for_the_names_of_its_uri_and_no_other(text, yes, no):
    principal = principal_of(leaf(CA, uri(f"agp://{text}")), PROFILE)
    assert principal.may_speak_as(parse(yes))
    assert not principal.may_speak_as(parse(no))
    assert principal.label == f"agp://{text}"


def test_the_principal_identifies_key_and_certificate():
    certificate = x509.load_der_x509_certificate(GOOD)
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    principal = principal_of(GOOD, PROFILE)
    assert principal.key_fingerprint == hashlib.sha256(spki).digest()
    assert (principal.serial, principal.issuer) == (
        certificate.serial_number,
        CA.certificate.subject.public_bytes(),
    )
    assert principal.not_after == NOW + 3600


OTHER_URI = uri("spiffe://acme/dev/writer")
SHAPES = {
    "no SAN": (leaf(CA), "no subject alternative name"),
    "name only in the CN": (leaf(CA, common_name="agp://acme/dev/writer"), "no subject alternative name"),
    "DNS only": (leaf(CA, x509.DNSName("acme")), "0 URIs"),
    "DNS that looks like one": (leaf(CA, x509.DNSName("agp://acme/dev/writer")), "0 URIs"),
    "two agp URIs": (leaf(CA, WRITER, uri("agp://other/dev/writer")), "2 URIs"),
    "the same URI twice": (leaf(CA, WRITER, WRITER), "2 URIs"),
    "another scheme beside it": (leaf(CA, WRITER, OTHER_URI), "2 URIs"),
    "another scheme": (leaf(CA, OTHER_URI), "does not begin with agp://"),
    "scheme in capitals": (leaf(CA, uri("AGP://acme/dev/writer")), "does not begin with agp://"),
    "two segments": (leaf(CA, uri("agp://acme/dev")), "neither in a type"),
    "five segments": (leaf(CA, uri("agp://a/b/c/d/e")), "more than 4"),
    "capital": (leaf(CA, uri("agp://Acme/dev/writer")), "segment 'Acme'"),
    "empty": (leaf(CA, uri("agp://")), "neither in a type"),
    "port": (leaf(CA, uri("agp://acme:1/dev/writer")), "segment 'acme:1'"),
    "NUL": (leaf(CA, uri("agp://acme/dev/writer\0x")), "segment"),
    "line feed at the end": (leaf(CA, uri("agp://acme/dev/writer\n")), "segment"),
    "star inside": (leaf(CA, uri("agp://acme/*/writer")), "segment '*'"),
    "any name": (leaf(CA, uri("agp://*")), "accept_any_name"),
    "server certificate": (leaf(CA, WRITER, usages=[SERVER]), "clientAuth"),
    "no extended key usage": (leaf(CA, WRITER, usages=()), "clientAuth"),
    "CA bit": (leaf(CA, WRITER, basic=True), "authority"),
    "expired": (leaf(CA, WRITER, begin=-900, end=-LEEWAY_S - 1), "ended on"),
    "not yet valid": (leaf(CA, WRITER, begin=LEEWAY_S + 1, end=900), "begins on"),
    "SAN that does not parse": (
        leaf(CA, extra=[raw_san(b"\x30\x03\x86\x05x")]),
        "does not parse",
    ),
    "URI that is not ASCII": (
        leaf(CA, extra=[raw_san(NOT_ASCII)]),
        "does not parse",
    ),
    "no bytes": (b"", "does not parse"),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_every_other_shape_is_refused_for_its_own_reason(shape):
    der, reason = SHAPES[shape]
    assert reason in refusal(der)


def test_other_names_beside_the_one_uri_do_no_harm():
    der = leaf(CA, x509.DNSName("writer.example"), WRITER, usages=[CLIENT, SERVER], basic=None)
    assert principal_of(der, PROFILE).label == "agp://acme/dev/writer"


def test_the_clock_is_the_profile_s_with_its_leeway():
    edge = Profile(lambda: NOW + 3600 + LEEWAY_S)
    assert isinstance(principal_of(GOOD, edge), Principal)
    assert "ended on" in refusal(GOOD, Profile(lambda: NOW + 3601 + LEEWAY_S))


def test_any_name_is_let_in_only_where_the_gateway_says_so():
    principal = principal_of(leaf(CA, uri("agp://*")), Profile(lambda: NOW, accept_any_name=True))
    assert principal.may_speak_as(parse("acme/dev/writer/1"))


def test_a_tenant_s_authority_names_its_own_organization_only():
    acme, other = signer("acme"), signer("other")
    tenants = Profile(lambda: NOW, True, {"acme": acme.certificate, "other": other.certificate})
    assert principal_of(leaf(acme, WRITER), tenants).label == "agp://acme/dev/writer"
    assert "not issued by the authority of acme" in refusal(leaf(other, WRITER), tenants)
    # Negative control: without the table any trusted authority may name acme.
    assert principal_of(leaf(other, WRITER), PROFILE)


def test_an_authority_that_borrows_another_s_name_does_not_get_its_organization():
    acme, impostor = signer("acme"), signer("acme")
    tenants = Profile(lambda: NOW, False, {"acme": acme.certificate})
    assert "not issued by" in refusal(leaf(impostor, WRITER), tenants)


def test_where_tenants_have_authorities_the_rest_is_refused():
    tenants = Profile(lambda: NOW, True, {"acme": CA.certificate})
    assert "no authority in tls.tenant_cas" in refusal(leaf(CA, uri("agp://other/dev/writer")), tenants)
    assert "no authority in tls.tenant_cas" in refusal(leaf(CA, uri("agp://*")), tenants)


def verdict(der):
    try:
        return type(principal_of(der, PROFILE))
    except Fatal as fatal:
        return fatal.code


# What cryptography takes with a warning, for the log of the gateway; refused once it takes it no more.
@pytest.mark.filterwarnings(
    "ignore:Parsed a serial number:UserWarning", "ignore:Attribute's length:UserWarning"
)
@example(GOOD.index(b"\xa0\x03\x02\x01\x02") + 4, 1, 0)  # a version that X.509 does not have
@example(GOOD.index(b"\xa0\x03\x02\x01\x02") + 7, 0x80, 0)  # a negative serial number
@example(GOOD.index(b"\x55\x04\x03") + 2, 6, 0)  # a name that is a country of more than two letters
@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255), st.integers(0, len(GOOD)))
def test_any_bytes_are_accepted_or_refused_with_the_documented_error(place, value, length):
    damaged = bytearray(GOOD)
    damaged[place] = value
    for der in (bytes(damaged), GOOD[:length], bytes([value]) * length):
        assert verdict(der) in (Principal, Code.UNAUTHENTICATED)


def test_the_thumbprint_is_that_of_rfc_8705():
    thumbprint = principal_of(GOOD, PROFILE).thumbprint
    assert base64.urlsafe_b64decode(thumbprint + "=") == hashlib.sha256(GOOD).digest()
    assert len(thumbprint) == 43
    assert thumbprint != principal_of(leaf(CA, WRITER), PROFILE).thumbprint  # another certificate
