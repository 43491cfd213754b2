"""Long messages: whatever a client can take arrives, and nothing that would break its stream."""

from dialogue import Agent
from gateways import Agpd
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
    alice.route(bob.name)
    session = alice.session()
    alice.call("publish_many", session=session, count=3, size=MIB, name=bob.name, instance=None)
    assert [message.size for message in bob.take(3)] == [MIB] * 3


def test_the_longest_arrives_and_one_byte_more_breaks_nobodys_stream(lab: Lab, common: Agpd) -> None:
    bob, alice = lab.join(name=fresh("bob")), lab.join()
    alice.route(bob.name)
    stream, single = alice.session("streaming", direction="SENDER"), alice.session()
    opened = len(common.process.log.find("opened"))

    def send(number: int, excess: int) -> int:
        size = LONGEST_BYTES - encoded_bytes(alice, bob.name, stream, number, MIB * 3) + MIB * 3 + excess
        assert encoded_bytes(alice, bob.name, stream, number, size) == LONGEST_BYTES + excess
        alice.call("publish_many", session=stream, count=1, size=size, name=bob.name, instance=None)
        return size

    size = send(0, 0)
    assert [message.size for message in bob.take()] == [size]
    send(1, 1)
    alice.publish(single, "alive", bob.name)
    assert [message.text for message in bob.take()] == ["alive"]
    bob.settle()
    assert len(common.process.log.find("opened")) == opened
