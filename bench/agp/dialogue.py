"""What agents of AGP say: one name, its instances, and messages that differ in nothing but number and payload."""

import random

from agpd._proto import agp_pb2 as pb
from agpd.wire.hashes import siphash

PATH = "/pubsub.proto.v1.PubSubService/OpenChannel"
ORGANIZATION, NAMESPACE, KIND, SOURCE = "acme", "bench", "sink", "source"
FIRE_AND_FORGET = 1
ONE, EVERYBODY = 1, 0
POOL = 2048
FIRST_NUMBER = 1 << 14  # up to 2^21 a varint of three bytes, so that all messages are equally long


def name(kind: str, id_: int | None = None) -> pb.Name:
    """As a client writes it."""
    return pb.Name(
        organization=siphash(ORGANIZATION),
        namespace=siphash(NAMESPACE),
        agent_type=siphash(kind),
        agent_id=id_,
    )


def subscribe(kind: str, id_: int) -> bytes:
    """What a client says first: it takes what is for this instance and for its type."""
    header = pb.Header(source=name(kind, id_), destination=name(kind, id_), fanout=1, incoming_conn=0)
    texts = {"organization": ORGANIZATION, "namespace": NAMESPACE, "agent_type": kind}
    return pb.Message(subscribe=pb.Subscribe(header=header, **texts)).SerializeToString()


def publish(source_id: int, to: int | None, fanout: int, number: int, body: bytes) -> bytes:
    """A message to an instance of `KIND`, or to one or all of them."""
    return pb.Message(
        publish=pb.Publish(
            header=pb.Header(
                source=name(SOURCE, source_id), destination=name(KIND, to), fanout=fanout, incoming_conn=0
            ),
            session=pb.Session(header_type=FIRE_AND_FORGET, session_id=4_000_000, message_id=number),
            msg=pb.Content(content_type="msg", blob=body),
        )
    ).SerializeToString()


def messages(source_id: int, to: int | None, fanout: int, size: int) -> list[bytes]:
    """Distinct messages of equal length, as many as a pool has."""
    chance = random.Random(source_id)
    return [
        publish(source_id, to, fanout, FIRST_NUMBER + number, chance.randbytes(size))
        for number in range(POOL)
    ]
