"""The server's side of HTTP/2 against h2 as the client: whatever is sent comes, in order, under any chunking."""

from collections import defaultdict

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes
from hypothesis import given, settings
from hypothesis import strategies as st

from agpd.wire.grpc import Splitter, prefixed
from agpd.wire.http2 import Connection, Data, Error, HalfClosed, Limits, Request, Reset

LIMITS = Limits(frame_bytes=16_384, streams=5, stream_window_bytes=65_536, connection_window_bytes=100_000)
CALL = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/a.B/C"),
    (":authority", "here"),
    ("te", "trailers"),
]

sizes = st.one_of(st.integers(0, 300), st.sampled_from([5_000, 16_384, 70_000, 120_000]))
messages = st.lists(
    st.builds(lambda size, fill: bytes([fill]) * size, sizes, st.integers(0, 255)), max_size=4
)


@st.composite
def calls(draw):
    """For each call what the client sends, what the server answers, and who ends it early if anybody does."""
    one = st.tuples(messages, messages, st.sampled_from(["nobody"] * 4 + ["client", "server"]))
    return draw(st.lists(one, min_size=1, max_size=5))


class Client:
    """h2, which gives windows back as things come."""

    def __init__(self, window: int) -> None:
        self.h2 = H2Connection(H2Configuration(client_side=True))
        self.h2.initiate_connection()
        self.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.got = defaultdict(bytearray)
        self.ended, self.reset = set(), set()
        self.unsent = {}

    def take(self, data: bytes) -> None:
        for event in self.h2.receive_data(data):
            if isinstance(event, events.DataReceived):
                self.got[event.stream_id] += event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, events.StreamEnded):
                self.ended.add(event.stream_id)
            elif isinstance(event, events.StreamReset):
                self.reset.add(event.stream_id)
                self.unsent.pop(event.stream_id, None)
            assert not isinstance(event, events.ConnectionTerminated), event

    def push(self, at_once: int, padding: int) -> None:
        """Send of every call what its windows allow."""
        for number, data in list(self.unsent.items()):
            room = min(self.h2.local_flow_control_window(number) - padding - 1, at_once, 16_384 - padding - 1)
            if data and room > 0:
                self.h2.send_data(number, bytes(data[:room]), pad_length=padding or None)
                del data[:room]
            if not data:
                self.h2.end_stream(number)
                del self.unsent[number]


@settings(max_examples=60)
@given(
    calls(),
    st.integers(2_000, 40_000),
    st.integers(1_000, 200_000),
    st.sampled_from([0, 0, 7, 200]),
    st.integers(50, 5_000),
    st.data(),
)
def test_what_is_sent_comes(plan, chunk, window, padding, work, data):
    client, server = Client(window), Connection(LIMITS, lambda: 0.0)
    splitters, heard, streams, over = {}, defaultdict(list), {}, set()
    killed = set()
    for asked, _, _ in plan:
        number = client.h2.get_next_available_stream_id()
        client.h2.send_headers(number, CALL)
        client.unsent[number] = bytearray(b"".join(map(prefixed, asked)))
    numbers = {2 * place + 1: place for place in range(len(plan))}

    def serve(found):
        for event in found:
            number = event.stream.id
            _, answered, who = plan[numbers[number]]
            if isinstance(event, Request):
                streams[number], splitters[number] = event.stream, Splitter(10**6)
                server.headers(event.stream, [(b":status", b"200")])
                if who == "server":
                    for message in answered:
                        server.write(event.stream, prefixed(message))
                    server.finish(event.stream, [(b"grpc-status", b"9")])
                elif who == "client":
                    killed.add(number)
            elif isinstance(event, Data):
                heard[number] += splitters[number].feed(server.take(event.stream))
            elif isinstance(event, HalfClosed):
                over.add(number)
                if who == "server":
                    continue  # it has answered
                for message in answered:
                    server.write(event.stream, prefixed(message))
                server.finish(event.stream, [(b"grpc-status", b"0")])
            else:
                assert isinstance(event, Reset)
                assert who == "client"
                assert event.code == Error.CANCEL

    quiet = 0
    while quiet < 3:
        client.push(chunk, padding)
        sent = client.h2.data_to_send()
        step = data.draw(st.integers(len(sent) // 50 + 1, len(sent) + 1))
        for place in range(0, len(sent), step):
            serve(server.receive(sent[place : place + step], work))
        while server.behind:
            serve(server.receive(b"", work))
        assert not server.failed
        back = server.data_to_send(chunk)
        client.take(back)
        for number in sorted(killed):
            if number not in client.ended | client.reset:
                client.h2.reset_stream(number, Error.CANCEL)
                client.unsent.pop(number, None)
        killed.clear()
        quiet = 0 if sent or back else quiet + 1

    assert not server.streams
    for number, (asked, answered, who) in zip(numbers, plan, strict=True):
        if who == "nobody":
            assert heard[number] == asked
            assert number in over & client.ended
            assert bytes(client.got[number]) == b"".join(map(prefixed, answered))
        elif who == "server":
            assert bytes(client.got[number]) == b"".join(map(prefixed, answered))
            assert number in client.ended
        else:
            assert heard[number] == asked[: len(heard[number])]
