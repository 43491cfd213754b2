"""agpd/transport/native.py: the shell between a transport and the hub."""

import logging

import pytest
from scenarios.harness import RecordingCarrier, World

from agpd.errors import Code, Fatal
from agpd.gateway.outbox import OutboxLimits
from agpd.gateway.principal import PLAINTEXT
from agpd.transport.native import NativeProtocol, peer_text
from agpd.wire import frames
from agpd.wire.frames import Kind


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (("192.0.2.1", 9), "192.0.2.1:9"),
        (("::1", 9, 0, 0), "[::1]:9"),
        ("memory", "memory"),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_peers_in_words(address, text):
    assert peer_text(address) == text


def test_without_certificates_everybody_is_anybody():
    world = World()
    carrier = RecordingCarrier(world, PLAINTEXT)
    protocol = NativeProtocol(world.hub, None)
    protocol.connection_made(carrier)
    assert protocol.link.principal is PLAINTEXT
    assert protocol.link.peer == "192.0.2.1:9"


def refused(identify, certificate=b"der") -> list[Code]:
    world = World()
    carrier = RecordingCarrier(world, PLAINTEXT)
    carrier.getpeercert = lambda *, binary_form: certificate
    protocol = carrier.protocol = NativeProtocol(world.hub, identify)
    protocol.connection_made(carrier)
    assert not world.hub.links
    protocol.data_received(frames.encode(Kind.HELLO, frames.Hello([1], "x", 1)))
    world.turn()
    said = frames.decode(frames.parse(bytes(carrier.sent)).body, frames.Refusal)
    assert frames.parse(bytes(carrier.sent)).kind == Kind.CLOSE
    carrier.lose()
    return [Code(said.code), *(code for _, code, _ in world.ends)]


def test_a_certificate_that_is_not_accepted_or_not_there():
    def reject(der):
        raise Fatal(Code.UNAUTHENTICATED, "no")

    assert refused(reject) == [Code.UNAUTHENTICATED] * 2
    assert refused(lambda der: PLAINTEXT, None) == [Code.UNAUTHENTICATED] * 2


def test_a_fault_of_ours_costs_one_connection_and_is_logged(monkeypatch, caplog):
    world = World()
    peer, other = world.peer(), world.peer()

    def fail(frame, origin):
        raise ZeroDivisionError

    monkeypatch.setattr(world.hub, "control", fail)
    with caplog.at_level(logging.ERROR):
        peer.send(Kind.PING)
    peer.expect_closed(Code.INTERNAL)
    assert "ZeroDivisionError" in caplog.text
    assert list(world.hub.links) == [other.link]


def test_bytes_after_the_end_are_not_looked_at():
    world = World()
    peer = world.peer()
    before = peer.link.bytes_in
    peer.send(Kind.PONG)
    assert peer.link.bytes_in == before + 24
    world.hub.end(peer.link, Code.INTERNAL)
    peer.send(Kind.PONG)
    assert peer.link.bytes_in == before + 24


def test_the_carrier_says_when_it_is_full_and_when_not():
    peer = World().peer()
    peer.carrier.stop_taking()
    assert not peer.link.writable
    peer.carrier.take_all()
    assert peer.link.writable


@pytest.mark.parametrize(("exc", "detail"), [(None, ""), (ConnectionResetError("reset"), "reset")])
def test_a_lost_connection(exc, detail):
    world = World()
    peer = world.peer()
    peer.carrier.lose(exc)
    assert world.ends == [(peer.link, Code.CONNECTION_LOST, detail)]


def test_who_asks_and_does_not_read_is_cut():
    world = World(outbox=OutboxLimits(100, 1000, 0.5))
    peer = world.peer()
    pings = frames.encode(Kind.PING) * 50
    for _ in range(5):
        peer.feed(pings)  # one who reads may ask as much
    assert len(peer.read()) == 250
    peer.inbox.clear()
    peer.feed(pings * 3)
    assert peer.link.close_code is None
    peer.carrier.stop_taking()
    for _ in range(5):
        peer.feed(pings)
    assert [code for _, code, _ in world.ends] == [Code.SLOW_CONSUMER]
