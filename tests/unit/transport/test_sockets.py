"""Listening sockets, peers' addresses, and what a failed handshake means."""

import errno
import socket
import ssl

import pytest

from agpd.transport.sockets import FAILURES, BindError, bind, failure_of, source_of
from agpd.transport.sockets import _bind_problem as bind_problem


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_bound_socket_listens_and_does_not_block(host):
    with bind(host, 0) as sock:
        assert not sock.getblocking()
        with pytest.raises(BlockingIOError):
            sock.accept()
        with socket.create_connection(sock.getsockname()[:2]):
            pass


def test_an_address_in_use_names_the_way_out():
    with bind("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        with pytest.raises(BindError, match=rf"127\.0\.0\.1:{port} is in use: .*ss -ltnp.*:{port}"):
            bind("127.0.0.1", port)


def test_several_processes_may_share_a_port_when_asked_to():
    with bind("127.0.0.1", 0, reuse_port=True) as sock:
        bind("127.0.0.1", sock.getsockname()[1], reuse_port=True).close()


def test_an_address_of_another_machine_and_a_name_that_is_none():
    with pytest.raises(BindError, match=r"^192\.0\.2\.1:7420 is not an address of this machine"):
        bind("192.0.2.1", 7420)
    with pytest.raises(BindError, match=r"^\[2001:db8::1\]:7420 is not an address of this machine"):
        bind("2001:db8::1", 7420)
    with pytest.raises(BindError, match="cannot be looked up"):
        bind("no such host", 7420)


def test_other_bind_problems():
    assert "port from 1024 on" in bind_problem(PermissionError(errno.EACCES, "x"), 80)
    assert "No buffer" in bind_problem(OSError(errno.ENOBUFS, "No buffer space"), 80)


def test_a_source_is_an_ipv4_address_or_an_ipv6_network():
    assert source_of(("192.0.2.1", 1)) == source_of(("192.0.2.1", 2)) == bytes([192, 0, 2, 1])
    assert source_of(("::ffff:192.0.2.1", 1, 0, 0)) == source_of(("192.0.2.1", 1))
    assert source_of(("2001:db8::1", 1, 0, 0)) == source_of(("2001:db8::ffff", 1, 0, 0))
    assert source_of(("2001:db8::1", 1, 0, 0)) != source_of(("2001:db8:0:1::1", 1, 0, 0))
    assert source_of(("fe80::1%eth0", 1, 0, 2)) == source_of(("fe80::2", 1, 0, 0))


def unverified(code):
    error = ssl.SSLCertVerificationError(1, "verify failed")
    error.verify_code = code
    return error


def tls(reason):
    error = ssl.SSLError(1, "tls")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (unverified(23), "revoked"),
        (unverified(10), "expired"),
        (unverified(12), "crl"),
        (unverified(20), "untrusted"),
        (unverified(26), "certificate"),
        (tls("PEER_DID_NOT_RETURN_A_CERTIFICATE"), "no_certificate"),
        (tls("WRONG_VERSION_NUMBER"), "tls"),
        (ConnectionAbortedError(), "timeout"),
        (ConnectionResetError(), "lost"),
    ],
)
def test_failures_have_a_closed_set_of_reasons(error, reason):
    assert failure_of(error) == reason
    assert reason in FAILURES
