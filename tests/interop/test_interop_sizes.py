"""Long messages: whatever a client can take arrives, and nothing that would break its stream."""

from pathlib import Path

import gateways
from dialogue import Agent
from lab import Lab, fresh

from agpd._proto import agp_pb2 as pb
from agpd.wire.hashes import Family, component

MIB = 1024 * 1024
# One byte more, and the stream of a client breaks.
LONGEST_BYTES = 4_194_304
STREAM = 8  # the number of a stream's messages in agp-bindings 0.3.5


def encoded_bytes(sender: Agent, kind: str, session: int, number: int, size: int) -> int:
    """Length of a stream's message as the receiver gets it, with a payload of `size` bytes."""
    header = pb.Header(source=_name(sender.name, sender.id), destination=_name(kind), fanout=50)
    inner = pb.Session(header_type=STREAM, session_id=session, message_id=number)
    content = pb.Content(content_type="msg", blob=bytes(size))
    return pb.Message(publish=pb.Publish(header=header, session=inner, msg=content)).ByteSize()


def _name(name: str, id_: int | None = None) -> pb.Name:
    organization, namespace, kind = (component(Family.SIPHASH, word) for word in name.split("/"))
    return pb.Name(organization=organization, namespace=namespace, agent_type=kind, agent_id=id_)


def test_a_message_of_a_mebibyte_arrives(lab: Lab) -> None:
    bob, alice = lab.join(name=fresh("bob")), lab.join()
    send_sized(alice, alice.session(), bob.name, MIB, count=3)
    assert [message.size for message in bob.take(3)] == [MIB] * 3


def test_the_longest_arrives_and_one_byte_more_breaks_nobodys_stream(lab: Lab, tmp_path: Path) -> None:
    with gateways.agpd(tmp_path) as running:
        there = lab.at(running.url)
        bob, alice = there.join(name=fresh("bob")), there.join()
        stream, single = alice.session("streaming", direction="SENDER"), alice.session()
        for number, excess in enumerate((0, 1)):
            size = LONGEST_BYTES - 3 * MIB + excess
            size += 3 * MIB - (encoded_bytes(alice, bob.name, stream, number, 3 * MIB) - 3 * MIB)
            assert encoded_bytes(alice, bob.name, stream, number, size) == LONGEST_BYTES + excess
            send_sized(alice, stream, bob.name, size)
            if not excess:
                assert [message.size for message in bob.take()] == [size]
        running.process.log.wait("not delivered", reason="too_large")
        alice.publish(single, "alive", bob.name)
        assert [message.text for message in bob.take()] == ["alive"]
        bob.settle()
        lab.leave_all()
        # Two agents, and the one that `settle` needs: nobody has come twice.
        assert running.stop() == 3


def send_sized(sender: Agent, session: int, name: str, size: int, count: int = 1) -> None:
    """Messages with payloads of `size` bytes."""
    sender.route(name)
    sender.call("publish_many", session=session, count=count, size=size, name=name, instance=None)
