"""The builders of certificates and revocation lists."""

import pytest
from certificate_world import NOW, signer
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from agpd.names import parse_pattern
from agpd.transport import certs

CA = signer()


def value(certificate, kind):
    return certificate.extensions.get_extension_for_class(kind).value


def test_an_authority_signs_leaves_and_lists_only():
    basic, usage = value(CA.certificate, x509.BasicConstraints), value(CA.certificate, x509.KeyUsage)
    assert (basic.ca, basic.path_length) == (True, 0)
    assert (usage.key_cert_sign, usage.crl_sign, usage.digital_signature) == (True, True, False)


def test_an_agent_s_certificate_has_one_uri_and_client_authentication():
    public = certs.new_key().public_key()
    made = certs.agent(CA, public, parse_pattern("acme/dev/*"), NOW, 3600)
    assert list(value(made, x509.SubjectAlternativeName)) == [
        x509.UniformResourceIdentifier("agp://acme/dev/*")
    ]
    assert list(value(made, x509.ExtendedKeyUsage)) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not value(made, x509.BasicConstraints).ca
    usage = value(made, x509.KeyUsage)
    assert (usage.digital_signature, usage.key_cert_sign) == (True, False)
    assert made.public_key() == public
    made.verify_directly_issued_by(CA.certificate)


def test_a_gateway_s_certificate_has_its_hosts_and_server_authentication():
    made = certs.gateway(CA, certs.new_key().public_key(), ["gw.example", "::1", "10.0.0.1"], NOW, 3600)
    names = value(made, x509.SubjectAlternativeName)
    assert names.get_values_for_type(x509.DNSName) == ["gw.example"]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["::1", "10.0.0.1"]
    assert list(value(made, x509.ExtendedKeyUsage)) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_a_certificate_begins_five_minutes_ago_and_ends_with_the_authority_at_the_latest():
    made = certs.agent(CA, certs.new_key().public_key(), parse_pattern("a/b/c"), NOW, 3600)
    assert made.not_valid_before_utc.timestamp() == NOW - 300
    assert made.not_valid_after_utc.timestamp() == NOW + 3600
    made = certs.agent(CA, certs.new_key().public_key(), parse_pattern("a/b/c"), NOW, 1e9)
    assert made.not_valid_after_utc == CA.certificate.not_valid_after_utc


def test_a_name_of_full_length_fits():
    name = "/".join(["a" * 63] * 3)
    made = certs.agent(CA, certs.new_key().public_key(), parse_pattern(name), NOW, 3600)
    assert value(made, x509.SubjectAlternativeName).get_values_for_type(x509.UniformResourceIdentifier) == [
        f"agp://{name}"
    ]


@pytest.mark.parametrize(
    "host", ["", "Example", "a_b", "a..b", "-a", "a/b", "agp://a", "a" * 64, "1.2.3.4.5 ", "ü"]
)
def test_what_is_neither_an_address_nor_a_dns_name_is_refused(host):
    with pytest.raises(ValueError, match="neither an IP address nor a DNS name"):
        certs.general_name(host)


def test_a_gateway_needs_a_host():
    with pytest.raises(ValueError, match="at least one"):
        certs.gateway(CA, certs.new_key().public_key(), [], NOW, 3600)


def test_a_revocation_list_has_its_number_times_and_serials():
    crl = certs.revocation_list(CA, [certs.Revocation(7, NOW - 10)], 3, NOW, 3600)
    assert crl.is_signature_valid(CA.key.public_key())
    assert value(crl, x509.CRLNumber).crl_number == 3
    assert (crl.last_update_utc.timestamp(), crl.next_update_utc.timestamp()) == (NOW - 300, NOW + 3600)
    assert [entry.serial_number for entry in crl] == [7]
