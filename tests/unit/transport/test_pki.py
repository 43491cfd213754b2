"""The authority on disk."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from certificate_world import NOW, World, converse, der_of
from cryptography import x509

from agpd.names import parse_pattern
from agpd.transport import pki
from agpd.transport.identity import Profile, principal_of
from agpd.transport.pem import PkiError, load_certificate, load_key
from agpd.transport.pki import DAY_S, Authority, development
from agpd.transport.tls import server_context

WRITER = parse_pattern("acme/dev/writer")


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "pki"


@pytest.fixture
def authority(directory):
    return Authority.create(directory, "test", NOW)


def numbers(directory):
    crl = x509.load_pem_x509_crl((directory / "crl.pem").read_bytes())
    number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    return number, {entry.serial_number for entry in crl}


def mode(path):
    return path.stat().st_mode & 0o777


@pytest.fixture(params=[0o000, 0o022, 0o777])
def umask(request):
    before = os.umask(request.param)
    yield
    os.umask(before)


def test_keys_are_closed_to_others_whatever_the_umask(directory, umask):
    authority = Authority.create(directory, "test", NOW)
    pair = authority.issue_agent(WRITER, directory / "agents" / "writer", NOW)
    assert mode(directory) == 0o700
    assert mode(directory / "ca.key") == mode(pair.key) == 0o600


def test_an_authority_lasts_ten_years_and_starts_with_an_empty_list(authority, directory):
    assert authority.certificate.not_valid_after_utc.timestamp() == NOW + 3650 * DAY_S
    assert numbers(directory) == (1, set())
    with pytest.raises(PkiError, match="holds an authority already"):
        Authority.create(directory, "test", NOW)


def test_what_was_made_can_be_opened_and_issues(authority, directory):
    pair = Authority.open(directory, NOW).issue_agent(WRITER, directory / "writer", NOW)
    assert pair.not_after == NOW + DAY_S
    assert load_certificate(pair.certificate).public_key() == load_key(pair.key).public_key()
    assert principal_of(der_of(pair), Profile(lambda: NOW)).pattern == WRITER


def test_what_cannot_be_opened_says_why(authority, directory, tmp_path):
    with pytest.raises(PkiError, match="agpctl pki init"):
        Authority.open(tmp_path / "none", NOW)
    with pytest.raises(PkiError, match="has ended"):
        Authority.open(directory, NOW + 3650 * DAY_S)
    (directory / "ca.key").chmod(0o644)
    with pytest.raises(PkiError, match="chmod 600"):
        Authority.open(directory, NOW)
    Authority.create(tmp_path / "other", "other", NOW)
    (tmp_path / "other" / "ca.key").replace(directory / "ca.key")
    with pytest.raises(PkiError, match="do not belong together"):
        Authority.open(directory, NOW)


def test_a_renewal_keeps_the_key_unless_asked_otherwise(authority, directory):
    prefix = directory / "writer"
    first = authority.issue_agent(WRITER, prefix, NOW)
    key = first.key.read_bytes()
    second = authority.issue_agent(WRITER, prefix, NOW)
    assert (first.renewed, second.renewed) == (False, True)
    assert second.serial != first.serial
    assert second.key.read_bytes() == key
    assert not authority.issue_agent(WRITER, prefix, NOW, new_key=True).renewed
    assert second.key.read_bytes() != key


def test_a_gateway_s_hosts_are_checked_before_anything_is_written(authority, directory):
    with pytest.raises(PkiError, match="neither an IP address nor a DNS name"):
        authority.issue_gateway(["not a host"], directory / "gateway", NOW)
    assert not (directory / "gateway.key").exists()
    assert authority.issued() == []


def test_the_index_tells_what_was_issued_and_revoked(authority, directory):
    agent = authority.issue_agent(WRITER, directory / "writer", NOW)
    gateway = authority.issue_gateway(["localhost", "::1"], directory / "gateway", NOW, 3600)
    authority.revoke(agent.serial, NOW + 1)
    first, second = Authority.open(directory, NOW).issued()
    assert (first.serial, first.kind, first.name, first.revoked_at) == (
        agent.serial,
        "agent",
        "agp://acme/dev/writer",
        NOW + 1,
    )
    assert (second.serial, second.kind, second.name, second.revoked_at) == (
        gateway.serial,
        "gateway",
        "localhost, ::1",
        None,
    )
    assert second.not_after == NOW + 3600


def test_every_revocation_list_has_a_higher_number_and_all_serials(authority, directory):
    one = authority.issue_agent(WRITER, directory / "one", NOW)
    two = authority.issue_agent(WRITER, directory / "two", NOW)
    authority.revoke(one.serial, NOW)
    assert numbers(directory) == (2, {one.serial})
    authority.revoke(two.serial, NOW)
    assert numbers(directory) == (3, {one.serial, two.serial})
    authority.revoke(two.serial, NOW)  # again: a fresh list, no second entry
    assert numbers(directory) == (4, {one.serial, two.serial})
    authority.write_crl(NOW, 3600)
    assert numbers(directory) == (5, {one.serial, two.serial})


def test_only_the_authority_s_own_certificates_can_be_revoked(authority, directory, tmp_path):
    stranger = World(tmp_path / "stranger")
    with pytest.raises(PkiError, match="issued by another authority"):
        authority.serial_of(stranger.agent.certificate)
    with pytest.raises(PkiError, match="issued no certificate with serial"):
        authority.revoke(stranger.agent.serial, NOW)
    pair = authority.issue_agent(WRITER, directory / "writer", NOW)
    assert authority.serial_of(pair.certificate) == pair.serial


def test_a_damaged_index_stops_the_authority(authority, directory):
    for damage in (lambda path: path.write_text("{"), lambda path: path.unlink()):
        damage(directory / "index.jsonl")
        with pytest.raises(PkiError, match=r"index\.jsonl is missing or damaged"):
            authority.issued()


def test_issues_at_the_same_time_are_all_recorded(authority, directory):
    def issue(number):
        return Authority.open(directory, NOW).issue_agent(WRITER, directory / f"agent{number}", NOW).serial

    with ThreadPoolExecutor(8) as pool:
        serials = set(pool.map(issue, range(24)))
    assert {one.serial for one in authority.issued()} == serials
    assert len(serials) == 24


def contents(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_development_files_make_a_connection(directory):
    files = development(directory, NOW)
    world = World.__new__(World)
    world.ca = files.ca
    client = world.client()
    client.load_cert_chain(files.agent_certificate, files.agent_key)
    server, _ = converse(server_context(files.certificate, files.key, [files.ca]), client)
    principal = principal_of(server.getpeercert(True), Profile(lambda: NOW, accept_any_name=True))
    assert principal.label == "agp://*"
    assert principal.not_after == NOW + 30 * DAY_S
    names = load_certificate(files.certificate).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert [str(name.value) for name in names.value] == ["localhost", "127.0.0.1", "::1"]
    assert [path.name for path in (files.ca, files.certificate, files.key, files.agent_certificate)] == [
        "ca.pem",
        "gateway.pem",
        "gateway.key",
        "agent.pem",
    ]


def test_development_files_are_made_once(directory):
    development(directory, NOW)
    before = contents(directory)
    development(directory, NOW + 19 * DAY_S)
    assert contents(directory) == before


def test_development_certificates_are_renewed_in_their_last_third_with_their_keys(directory):
    development(directory, NOW)
    before = contents(directory)
    files = development(directory, NOW + 21 * DAY_S)
    after = contents(directory)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"gateway.pem", "agent.pem", "index.jsonl"}
    assert load_certificate(files.agent_certificate).not_valid_after_utc.timestamp() == NOW + 51 * DAY_S


@pytest.mark.parametrize("name", ["gateway.pem", "agent.key", "gateway.key", "ca.pem", "index.jsonl"])
@pytest.mark.parametrize("damage", [lambda path: path.write_text("junk"), lambda path: path.unlink()])
def test_damaged_development_files_are_made_again(directory, name, damage):
    development(directory, NOW)
    damage(directory / name)
    files = development(directory, NOW)
    server_context(files.certificate, files.key, [files.ca], directory / "crl.pem")
    assert load_certificate(files.agent_certificate).public_key() == load_key(files.agent_key).public_key()


def test_a_development_authority_near_its_end_takes_its_certificates_with_it(directory):
    files = development(directory, NOW)
    old = load_certificate(files.ca)
    development(directory, NOW + 2500 * DAY_S)
    new = load_certificate(files.ca)
    assert new != old
    load_certificate(files.certificate).verify_directly_issued_by(new)


def test_two_development_gateways_at_once_get_one_set(directory):
    with ThreadPoolExecutor(4) as pool:
        sets = list(pool.map(lambda _: development(directory, NOW), range(4)))
    assert len(set(sets)) == 1
    assert len(Authority.open(directory, NOW).issued()) == 2
    assert pki.DEVELOPMENT_LIFE_S == 30 * DAY_S
