"""What is fuzzed, one function for each parser.

The sentence: any bytes are accepted, or refused with a documented error.

An exception that leaves a target is a fault. None of them needs atheris.
"""

from __future__ import annotations

import contextlib
import importlib.util
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuzz.stage import LINKS, Stage
from google.protobuf.message import DecodeError
from scenarios.harness import World
from slim_client import check_strictly, signed
from unit.wire.strict_agp import scan

from agpd import config
from agpd._proto import slim_pb2
from agpd.errors import Code, ConfigError, Fatal, Refused
from agpd.hotpath import _pure, _pure_client
from agpd.names import parse, parse_pattern
from agpd.transport.identity import Profile, principal_of
from agpd.wire import agp, envelope, frames, slim, tunnel
from agpd.wire.frames import Kind


def native(data: bytes) -> None:
    """The bytes of one connection, in two reads; the conversation of two others goes on, whatever they are."""
    world = World(hello_limit_bytes=512, frame_limit_bytes=16384)
    sender, receiver = world.agent("acme/dev/clerk/1"), world.agent("acme/dev/clerk/2")
    hostile = world.peer(greet=not data[:1] >= b"\xf0")
    if hostile.link.session.is_open:
        hostile.register("acme/dev/writer/1")
    cut = data[0] * len(data) // 255 if data else 0
    hostile.feed(data[:cut])
    hostile.feed(data[cut:])
    hostile.read()  # whatever it is answered is legal, and announced before it is used
    code = hostile.link.close_code
    assert code is not Code.INTERNAL or Kind.CLOSE in data, "a fault of the gateway"
    world.check_accounts()
    receiver.peer.read().clear()
    sender.publish(receiver.name, b"still here")
    assert any(frame.body == b"still here" for frame in receiver.peer.read())


def loop(data: bytes) -> None:
    """The bytes of one read of each of several links: the compiled loop does what the pure one does."""
    if importlib.util.find_spec("agpd.hotpath._compiled") is None:
        return
    compiled = importlib.import_module("agpd.hotpath._compiled")
    logs = []
    for module in (_pure, compiled):
        stage = Stage(module, int.from_bytes(data[:2], "big"), recording=True)
        for place in range(2, len(data), 700):
            stage.feed(stage.links[data[place] % LINKS], data[place + 1 : place + 700])
        stage.end_turn()
        stage.say("end")
        logs.append(stage.log)
    assert logs[0] == logs[1]


def sdk(data: bytes) -> None:
    """What the SDK reads and makes: the compiled functions do what the pure ones do."""
    if importlib.util.find_spec("agpd.hotpath._compiled") is None:
        return
    compiled = importlib.import_module("agpd.hotpath._compiled")
    both = [_taken(module.deliveries, data) for module in (_pure_client, compiled)]
    assert both[0] == both[1]
    kind, fanout, destination, source, id_, content_type = struct.unpack(
        ">BHIIQB", data[:20].ljust(20, b"\0")
    )
    made = []
    for module in (_pure_client, compiled):
        try:
            made.append(module.data_frame(kind, fanout, destination, source, id_, data, content_type))
        except OverflowError:
            made.append(None)
    assert made[0] == made[1]


def _taken(deliveries: Callable[..., Any], data: bytes) -> object:
    """Everything that `deliveries` calls and returns; the first byte is the position, the second the limit."""
    calls: list[object] = []

    class Flows(dict[bytes, bytes]):
        def __missing__(self, head: bytes) -> bytes:
            calls.append(head)
            return head

    def make(*message: object) -> object:
        calls.append(message)
        return None if len(calls) % 7 == 0 else message

    position, limit = (data[0] % 32, 24 + data[1] * 8) if len(data) > 1 else (0, 24)
    return deliveries(data, position, limit, Flows(), make, make), calls


def packed(data: bytes) -> None:
    """The envelope, and every control body."""
    for decode in (envelope.unpack, *(_body(shape) for shape in frames.Body.__subclasses__())):
        with contextlib.suppress(Fatal):
            decode(data)


def _body(shape: type[frames.Body]) -> Callable[[bytes], frames.Body]:
    return lambda data: frames.decode(data, shape)


def names(data: bytes) -> None:
    """Names and patterns; what is accepted prints as it was written."""
    text = data.decode("utf-8", "surrogateescape")
    with contextlib.suppress(Refused):
        assert str(parse(text)) == text
    with contextlib.suppress(Refused):
        assert parse_pattern(str(parse_pattern(text))) == parse_pattern(text)


def toml(data: bytes) -> None:
    """The configuration file; what is accepted reads back as the same."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "agpd.toml"
        file.write_bytes(data)
        with contextlib.suppress(ConfigError):
            read = config.load(file, {}, [])
            file.write_text(config.to_toml(read))
            assert config.load(file, {}, []) == read


def certificate(data: bytes) -> None:
    """The client certificate, DER."""
    with contextlib.suppress(Fatal):
        assert principal_of(data, Profile(lambda: 1.8e9)).pattern.prefix


MAC = slim.Mac(b"k" * 32, "link")


def slim_messages(data: bytes) -> None:
    """A message of SLIM, as it is and signed anew; whatever is passed on, the strictest parser takes."""
    with contextlib.suppress(Fatal):
        slim.read_negotiation(data)
    with contextlib.suppress(Fatal):
        slim.read(data, MAC)
    with contextlib.suppress(Fatal, DecodeError):
        message = slim_pb2.Message.FromString(data)
        if message.WhichOneof("kind") in ("publish", "subscribe", "unsubscribe"):
            got = slim.read(signed(message, MAC), MAC)
            assert got != slim.Dropped("bad_mac")
            if isinstance(got, slim.Publication):
                check_strictly(MAC.seal(got.body), slim_pb2.Message.DESCRIPTOR)


def agp_messages(data: bytes) -> None:
    """A message of AGP, and what an envelope carries of one; whatever is passed on, the strictest parser takes."""
    for read in (agp.parse, agp.checked):
        with contextlib.suppress(Fatal, Refused):
            said = read(data)
            if said.verb is agp.Verb.PUBLISH:
                message = agp.assemble(said.carried, said.content_type, said.body)
                assert len(message) == agp.assembled_bytes(said.carried, said.content_type, len(said.body))
                scan(message)
                assert agp.parse(message).source_id == said.source_id != agp.ANY_ID
                agp.carried_trace(said.carried)


def tunnel_messages(data: bytes) -> None:
    """A message of Tunnel, and frames that go through one."""
    with contextlib.suppress(Fatal):
        tunnel.unwrap(data)
    assert tunnel.unwrap(tunnel.wrap(data)) == data


TARGETS: dict[str, Callable[[bytes], None]] = {
    each.__name__: each
    for each in (
        native,
        loop,
        sdk,
        packed,
        names,
        toml,
        certificate,
        slim_messages,
        agp_messages,
        tunnel_messages,
    )
}


def seeds(target: str) -> list[Path]:
    """The stored inputs of a target."""
    return sorted((Path(__file__).parent / "seeds" / target).iterdir())
