"""Server contexts, and the files they come from."""

import os
import ssl

import pytest
from certificate_world import NOW, World, converse, der_of, signer
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from agpd.errors import Fatal
from agpd.transport import certs
from agpd.transport.identity import principal_of
from agpd.transport.tls import Certificates, TlsConfigError, passport_of, server_context


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "world")


def context_of(world, crl=True):
    return server_context(
        world.gateway.certificate, world.gateway.key, [world.ca], world.crl if crl else None
    )


def certificates_of(world, clock=lambda: NOW, **kwargs):
    return Certificates(
        world.gateway.certificate, world.gateway.key, [world.ca], world.crl, clock=clock, **kwargs
    )


def test_an_agent_of_the_authority_is_let_in_over_tls_1_3(world):
    server, _ = converse(context_of(world), world.client(world.agent))
    assert server.version() == "TLSv1.3"
    assert server.compression() is None
    assert server.getpeercert(True) == der_of(world.agent)


def test_tls_1_2_is_refused(world):
    with pytest.raises(ssl.SSLError, match=r"(?i)unsupported.protocol|protocol.version"):
        converse(context_of(world), world.client(world.agent, ssl.TLSVersion.TLSv1_2))


def test_only_x25519_is_spoken(world):
    client = world.client(world.agent)
    client.set_ecdh_curve("prime256v1")
    with pytest.raises(ssl.SSLError, match=r"(?i)no.suitable.key.share|handshake.failure"):
        converse(context_of(world), client)


def test_a_client_without_a_certificate_is_refused(world):
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        converse(context_of(world), world.client())


def test_a_client_of_another_authority_is_refused(world, tmp_path):
    stranger = World(tmp_path / "stranger")
    client = world.client(stranger.agent)
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        converse(context_of(world), client)
    assert caught.value.verify_code in (20, 21)


def test_a_revoked_certificate_is_refused_by_the_next_context(world):
    certificates = certificates_of(world)
    converse(certificates.context, world.client(world.agent))
    world.authority.revoke(world.agent.serial, NOW)
    certificates.reload()
    with pytest.raises(ssl.SSLCertVerificationError, match="revoked"):
        converse(certificates.context, world.client(world.agent))


def test_a_revoked_certificate_passes_where_no_list_is_given(world):
    world.authority.revoke(world.agent.serial, NOW)
    converse(context_of(world, crl=False), world.client(world.agent))


def test_an_ended_revocation_list_refuses_everybody(world):
    world.authority.write_crl(NOW - 7200, 3600)
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        converse(context_of(world), world.client(world.agent))
    assert caught.value.verify_code == 12


def test_no_session_ticket_is_ever_issued(world):
    context = context_of(world)
    client = world.client(world.agent)
    _, connection = converse(context, client)
    assert not connection.session.has_ticket
    _, again = converse(context, client, connection.session)
    assert not again.session_reused


def test_a_context_with_tickets_would_let_a_client_resume(world):
    """Negative control: what the two assertions above look for happens when tickets are on."""
    context = context_of(world)
    context.num_tickets = 2
    client = world.client(world.agent)
    _, connection = converse(context, client)
    assert connection.session.has_ticket
    _, again = converse(context, client, connection.session)
    assert again.session_reused


def test_files_that_cannot_be_used_are_named_with_the_fault_and_the_way_out(world, tmp_path):
    gateway, agent, ca, crl = world.gateway, world.agent, world.ca, world.crl
    missing, junk, bad = tmp_path / "missing", tmp_path / "junk", tmp_path / "bad"
    junk.write_text("junk")

    def check(path, *parts, pair=(gateway.certificate, gateway.key), cas=(ca,), crl=crl):
        with pytest.raises(TlsConfigError) as caught:
            server_context(*pair, cas, crl)
        assert caught.value.path == path
        assert all(part in str(caught.value) for part in (str(path), *parts)), str(caught.value)

    check(missing, "No such file", "agpctl pki issue gateway", pair=(missing, gateway.key))
    check(junk, "no certificate in PEM form", pair=(junk, gateway.key))
    check(agent.certificate, "serverAuth", pair=(agent.certificate, agent.key))
    check(missing, "No such file", pair=(gateway.certificate, missing))
    check(junk, "no private key", pair=(gateway.certificate, junk))
    check(agent.key, "not that of", pair=(gateway.certificate, agent.key))
    check(missing, "agpctl pki init", cas=[missing])
    check(agent.certificate, "not an authority", "ca.pem", cas=[ca, agent.certificate])
    check(missing, "agpctl pki crl", crl=missing)
    check(junk, "no revocation list signed by CN=world", crl=junk)
    bad.write_text("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n")
    check(bad, "no revocation list in PEM form", crl=bad)


def test_an_encrypted_key_is_refused_without_asking_for_a_passphrase(world, tmp_path):
    key = load_pem_private_key(world.gateway.key.read_bytes(), None)
    path = tmp_path / "encrypted"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    with pytest.raises(TlsConfigError, match="the key is encrypted"):
        server_context(world.gateway.certificate, path, [world.ca])


def test_a_pair_that_openssl_finds_too_weak_is_named(world, tmp_path):
    key = rsa.generate_private_key(65537, 1024)
    ca = signer()
    certificate = certs.gateway(ca, key.public_key(), ["localhost"], NOW, 3600)
    path, key_path = tmp_path / "weak.pem", tmp_path / "weak.key"
    path.write_bytes(certificate.public_bytes(Encoding.PEM))
    key_path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(TlsConfigError, match="OpenSSL refuses it: EE_KEY_TOO_SMALL"):
        server_context(path, key_path, [world.ca])


def test_every_authority_needs_its_own_revocation_list(world, tmp_path):
    other = World(tmp_path / "other", "other")
    both = tmp_path / "both.pem"
    pair = world.gateway.certificate, world.gateway.key
    with pytest.raises(TlsConfigError, match="no revocation list signed by CN=other"):
        server_context(*pair, [world.ca, other.ca], world.crl)
    both.write_bytes(world.crl.read_bytes() + other.crl.read_bytes())
    converse(server_context(*pair, [world.ca, other.ca], both), world.client(other.agent))


def test_a_list_that_another_key_signed_in_the_authority_s_name_does_not_count(world, tmp_path):
    forger = World(tmp_path / "forger", "world")
    forger.authority.revoke(forger.agent.serial, NOW)
    with pytest.raises(TlsConfigError, match="no revocation list signed by"):
        server_context(world.gateway.certificate, world.gateway.key, [world.ca], forger.crl)
    both = tmp_path / "both.pem"
    both.write_bytes(world.crl.read_bytes() + forger.crl.read_bytes())
    certificates = Certificates(
        world.gateway.certificate, world.gateway.key, [world.ca], both, clock=lambda: NOW
    )
    forged = principal_of(der_of(forger.agent), certificates.profile)
    assert not certificates.is_revoked(forged)


def test_a_reload_changes_context_profile_and_revocations_together(world):
    certificates = certificates_of(world)
    before, principal = certificates.context, principal_of(der_of(world.agent), certificates.profile)
    assert not certificates.changed()
    assert not certificates.is_revoked(principal)
    world.authority.revoke(world.agent.serial, NOW)
    assert certificates.changed()
    certificates.reload()
    assert not certificates.changed()
    assert certificates.context is not before
    assert certificates.is_revoked(principal)


def test_a_serial_is_revoked_for_its_own_authority_only(world, tmp_path):
    """A tenant's authority must not be able to cut another tenant's agents by listing their serials."""
    other = World(tmp_path / "other", "other")
    victim = principal_of(der_of(world.agent), certificates_of(world).profile)
    hostile = certs.revocation_list(other.signer, [certs.Revocation(victim.serial, NOW)], 9, NOW, 3600)
    both = tmp_path / "both.pem"
    both.write_bytes(world.crl.read_bytes() + hostile.public_bytes(Encoding.PEM))
    certificates = Certificates(
        world.gateway.certificate, world.gateway.key, [world.ca, other.ca], both, clock=lambda: NOW
    )
    assert not certificates.is_revoked(victim)


def test_two_authorities_of_one_name_are_refused(world, tmp_path):
    """One could revoke what the other has issued."""
    namesake = World(tmp_path / "namesake", "world")
    with pytest.raises(TlsConfigError, match=r"called CN=world too; .*--name") as caught:
        certificates_of(world, tenant_cas={"acme": namesake.ca})
    assert caught.value.path == namesake.ca
    other = World(tmp_path / "other", "other")
    lists = tmp_path / "lists.pem"
    lists.write_bytes(world.crl.read_bytes() + other.crl.read_bytes())
    pair = (world.gateway.certificate, world.gateway.key)
    for second in (other.ca, world.ca):  # another name; the same authority again
        Certificates(*pair, [world.ca], lists, clock=lambda: NOW, tenant_cas={"acme": second})


def test_an_authority_may_be_there_with_its_renewed_certificate(world, tmp_path):
    renewed = certs.authority(world.signer.key, "world", NOW + 60, 3650 * 86400.0)
    path = tmp_path / "renewed.pem"
    path.write_bytes(renewed.public_bytes(Encoding.PEM))
    assert path.read_bytes() != world.ca.read_bytes()
    server_context(world.gateway.certificate, world.gateway.key, [world.ca, path], world.crl)


def test_a_bad_file_leaves_what_was_loaded_in_force_and_is_tried_again_only_when_it_changes(world):
    certificates = certificates_of(world)
    before, good = certificates.context, world.crl.read_bytes()
    world.crl.write_text("half a li")
    with pytest.raises(TlsConfigError):
        certificates.reload()
    assert certificates.context is before
    assert not certificates.changed()
    converse(certificates.context, world.client(world.agent))
    world.crl.unlink()
    assert certificates.changed()
    world.crl.write_bytes(good)
    certificates.reload()
    assert certificates.context is not before


@pytest.mark.parametrize("how", ["time", "size", "inode"])
def test_a_change_shows_in_time_size_or_inode(world, how):
    certificates = certificates_of(world)
    status, data = os.stat(world.ca), world.ca.read_bytes()
    if how == "time":
        os.utime(world.ca, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))
    else:
        if how == "inode":
            keep = world.ca.rename(world.ca.with_name("old"))
            assert keep.exists()
        world.ca.write_bytes(data + (b"\n" if how == "size" else b""))
        os.utime(world.ca, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert certificates.changed()


def test_the_life_left_in_the_revocation_list_is_a_fraction(world):
    now = [NOW]
    world.authority.write_crl(NOW, 4 * 3600 - certs.BACKDATE_S)  # from NOW - 5 min: 4 hours in all
    certificates = certificates_of(world, clock=lambda: now[0])
    assert certificates.crl_life_left() == pytest.approx(1 - 300 / 14400)
    now[0] = NOW - 300 + 3 * 3600
    assert certificates.crl_life_left() == pytest.approx(0.25)
    now[0] = NOW + 4 * 3600
    assert certificates.crl_life_left() < 0
    without = Certificates(world.gateway.certificate, world.gateway.key, [world.ca], clock=lambda: now[0])
    assert without.crl_life_left() is None


def test_tenants_authorities_are_trusted_and_bound_to_their_organization(world, tmp_path):
    acme = World(tmp_path / "acme", "acme")
    certificates = Certificates(
        world.gateway.certificate,
        world.gateway.key,
        [],
        clock=lambda: NOW,
        tenant_cas={"acme": acme.ca, "other": world.ca},
    )
    converse(certificates.context, world.client(acme.agent))
    assert principal_of(der_of(acme.agent), certificates.profile)
    with pytest.raises(Fatal, match="not issued by the authority of acme"):
        principal_of(der_of(world.agent), certificates.profile)


def test_a_tenant_has_one_authority(world, tmp_path):
    two = tmp_path / "two.pem"
    two.write_bytes(world.ca.read_bytes() * 2)
    with pytest.raises(TlsConfigError, match="2 authorities"):
        certificates_of(world, tenant_cas={"acme": two})


def test_the_flag_for_any_name_reaches_the_profile(world):
    anybody = world.issue("*", "anybody")
    with pytest.raises(Fatal, match="accept_any_name"):
        principal_of(der_of(anybody), certificates_of(world).profile)
    assert principal_of(der_of(anybody), certificates_of(world, accept_any_name=True).profile)


def test_a_listener_with_optional_certificates_lets_in_who_shows_none_but_nobody_with_a_bad_one(
    world, tmp_path
):
    certificates = certificates_of(world)
    server, _ = converse(certificates.optional.context, world.client())
    assert server.version() == "TLSv1.3"
    assert server.getpeercert(True) is None
    server, _ = converse(certificates.optional.context, world.client(world.agent))
    assert server.getpeercert(True) == der_of(world.agent)
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        converse(
            certificates.optional.context, world.client(World(tmp_path / "b", "b").issue("acme/x/y", "eve"))
        )
    with pytest.raises(ssl.SSLError):  # control: elsewhere a certificate is a must
        converse(certificates.context, world.client())


@pytest.mark.parametrize("kind", ["optional", "grpc"])
def test_a_reload_changes_the_contexts_of_optional_clients_too(world, kind):
    certificates = certificates_of(world)
    optional = getattr(certificates, kind)
    before = converse(optional.context, world.client(world.agent))[1].getpeercert(True)
    world.authority.revoke(world.agent.serial, NOW)
    world.authority.issue_gateway(["localhost"], world.directory / "gateway", NOW)
    certificates.reload()
    with pytest.raises(ssl.SSLError, match="revoked"):
        converse(optional.context, world.client(world.agent))
    after = converse(optional.context, world.client())[1].getpeercert(True)
    assert before != after == der_of(world.gateway)


@pytest.mark.parametrize("offered", ["prime256v1", None])
def test_grpc_is_spoken_with_clients_that_have_p_256_alone_and_with_others(world, offered):
    client = world.client(world.agent)
    if offered is not None:
        client.set_ecdh_curve(offered)
    server, _ = converse(certificates_of(world).grpc.context, client)
    assert server.version() == "TLSv1.3"


def test_grpc_negotiates_http2_and_nothing_else(world):
    certificates = certificates_of(world)
    for offered, chosen in ((["h2", "http/1.1"], "h2"), (["http/1.1"], None), (None, None)):
        context = world.client()
        if offered:
            context.set_alpn_protocols(offered)
        server, _ = converse(certificates.grpc.context, context)
        assert server.selected_alpn_protocol() == chosen
    assert certificates.grpc.context.num_tickets == 0


def test_a_passport_is_judged_as_its_principal_is(world):
    certificates = certificates_of(world)
    passport = passport_of(der_of(world.agent))
    assert not certificates.is_revoked(passport)
    principal = principal_of(der_of(world.agent), certificates.profile)
    assert passport == (principal.issuer, principal.serial, principal.not_after)
    world.authority.revoke(world.agent.serial, NOW)
    certificates.reload()
    assert certificates.is_revoked(passport)
