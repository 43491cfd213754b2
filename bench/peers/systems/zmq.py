"""ZeroMQ through a proxy, with pyzmq and blocking sockets; CURVE instead of TLS.

Three proxies, each a thread of the C library in one process: XSUB/XPUB for unicast and broadcast (subscriptions to a
prefix), ROUTER/DEALER for requests, PULL/PUSH for anycast. No limits on queues: ZeroMQ would drop beyond 1000 messages.
"""

import contextlib
import shutil
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import zmq
import zmq.auth
import zmq.auth.thread

from bench.peers.at import HOST, Arrived, Ask, At, Send

PROXIES = {"topic": (zmq.XSUB, zmq.XPUB), "ask": (zmq.ROUTER, zmq.DEALER), "any": (zmq.PULL, zmq.PUSH)}


def port(at: At, proxy: str, back: bool) -> int:
    """The port of one side of a proxy."""
    return at.ports[2 * list(PROXIES).index(proxy) + back]


def secure(at: At, socket: Any, is_server: bool) -> None:
    """Give a socket its keys; nothing in plaintext."""
    if at.files is None:
        return
    own = "server" if is_server else "client"
    socket.curve_publickey, socket.curve_secretkey = zmq.auth.load_certificate(
        f"{at.directory}/{own}.key_secret"
    )
    if is_server:
        socket.curve_server = True
    else:
        socket.curve_serverkey, _ = zmq.auth.load_certificate(f"{at.directory}/server.key")


@contextlib.asynccontextmanager
async def serve(at: At) -> AsyncIterator[None]:
    """The proxies. They accept the one client key, and no other."""
    context = zmq.Context.instance()
    if at.files is not None:
        allowed = Path(at.directory) / "allowed"
        allowed.mkdir()
        zmq.auth.create_certificates(at.directory, "server")
        public, _ = zmq.auth.create_certificates(at.directory, "client")
        shutil.copy(public, allowed)
        authenticator = zmq.auth.thread.ThreadAuthenticator(context)
        authenticator.start()
        authenticator.configure_curve(domain="*", location=str(allowed))
    for name, kinds in PROXIES.items():
        sides = []
        for back, kind in enumerate(kinds):
            socket = context.socket(kind)
            socket.set_hwm(0)
            secure(at, socket, True)
            socket.bind(f"tcp://{HOST}:{port(at, name, bool(back))}")
            sides.append(socket)
        threading.Thread(target=zmq.proxy, args=sides, daemon=True).start()
    yield


def connect(at: At, kind: int, proxy: str, back: bool) -> Any:
    """A client's socket."""
    socket = zmq.Context.instance().socket(kind)
    socket.set_hwm(0)
    secure(at, socket, False)
    socket.connect(f"tcp://{HOST}:{port(at, proxy, back)}")
    return socket


def topic(pattern: str, number: int) -> bytes:
    """Subscriptions are prefixes, so numbers end with a dot."""
    return b"%d." % number if pattern == "unicast" else b"all."


def subscriber(at: At, pattern: str, number: int) -> Any:
    """The socket of a receiver."""
    if pattern == "anycast":
        return connect(at, zmq.PULL, "any", True)
    socket = connect(at, zmq.SUB, "topic", True)
    socket.subscribe(topic(pattern, number))
    socket.subscribe(b"ready%d." % number)
    return socket


def publisher(at: At, topics: set[bytes]) -> Any:
    """A socket, once the proxy has told it of subscriptions to all of these. XPUB is PUB that can see them.

    Raises `ConnectionError`. What is sent before the proxy knows of a subscription is thrown away.
    """
    socket = connect(at, zmq.XPUB, "topic", False)
    missing = {b"\1" + each for each in topics}
    while missing:
        if not socket.poll(10_000):
            raise ConnectionError(f"no subscription to {missing}")
        missing.discard(socket.recv())
    return socket


@contextlib.asynccontextmanager
async def receiving(at: At, receivers: int, pattern: str, arrived: Arrived) -> AsyncIterator[None]:
    """One thread that polls all sockets and empties those that have something."""
    sockets = [subscriber(at, pattern, number) for number in range(receivers)]
    if pattern != "anycast":
        # The proxy passes on only the first subscription to a topic; of the last one of each socket it is told here.
        publisher(at, {b"ready%d." % number for number in range(receivers)}).close()
    poller = zmq.Poller()
    for socket in sockets:
        poller.register(socket, zmq.POLLIN)

    def run() -> None:
        while True:
            for socket, _ in poller.poll():
                with contextlib.suppress(zmq.Again):
                    while True:
                        socket.recv_multipart(zmq.NOBLOCK)
                        arrived()

    threading.Thread(target=run, daemon=True).start()
    yield


@contextlib.asynccontextmanager
async def sending(at: At, receivers: int, pattern: str) -> AsyncIterator[Send]:
    """`socket.send_multipart(...)`."""
    if pattern == "anycast":
        pushing = connect(at, zmq.PUSH, "any", False)

        async def push(numbers: Sequence[int], body: bytes) -> None:
            for _ in numbers:
                pushing.send(body)

        yield push
        return
    topics = [topic(pattern, number) for number in range(receivers)]
    socket = publisher(at, set(topics))

    async def send(numbers: Sequence[int], body: bytes) -> None:
        for number in numbers:
            socket.send_multipart((topics[number], body))

    yield send


@contextlib.asynccontextmanager
async def answering(at: At) -> AsyncIterator[None]:
    """REP in a thread."""
    socket = connect(at, zmq.REP, "ask", True)

    def run() -> None:
        while True:
            socket.send(socket.recv())

    threading.Thread(target=run, daemon=True).start()
    yield


@contextlib.asynccontextmanager
async def asking(at: At) -> AsyncIterator[Ask]:
    """REQ."""
    socket = connect(at, zmq.REQ, "ask", False)

    async def ask(body: bytes) -> bytes:
        socket.send(body)
        if not socket.poll(5000):
            raise TimeoutError("no answer")
        answer: bytes = socket.recv()
        return answer

    yield ask
