"""The test's end of a worker: programs under other interpreters, and agents in them that a test lets speak.

Everything here waits for an outcome with a deadline, and nothing waits a fixed time. `start` gives a future for what
is to go on beside other things.
"""

import contextlib
import json
import subprocess
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WORKERS = Path(__file__).parent / "workers"
MARK = "RESULT "
PATIENCE_S = 15.0
# What a command may take beyond the patience that it has itself.
GRACE_S = 15.0
PROBE_S = 0.25
NOISE_LINES = 200


class Failed(AssertionError):
    """A command of a worker has failed; `kind` is "timeout", "ended" or the name of what it raised."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind


class Worker:
    """A program of `workers/` under the interpreter of an environment."""

    def __init__(self, python: Path, script: str) -> None:
        self.process = subprocess.Popen(
            [str(python), "-u", str(WORKERS / script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.noise: deque[str] = deque(maxlen=NOISE_LINES)  # what the client itself prints
        self._lock = threading.Lock()
        self._waiting: dict[int, Future[Any]] = {}
        self._numbers = iter(range(1, 1 << 30))
        self._threads = [threading.Thread(target=one, daemon=True) for one in (self._results, self._errors)]
        for thread in self._threads:
            thread.start()

    def _results(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if not line.startswith(MARK):
                self.noise.append(line)
                continue
            said = json.loads(line.removeprefix(MARK))
            with self._lock:
                future = self._waiting.pop(said["command"])
            if "value" in said:
                future.set_result(said["value"])
            else:
                future.set_exception(Failed(said["kind"], said["text"]))
        with self._lock:
            left, self._waiting = list(self._waiting.values()), {}
        for future in left:
            future.set_exception(Failed("ended", "the worker has ended: " + "".join(self.noise)[-2000:]))

    def _errors(self) -> None:
        assert self.process.stderr is not None
        self.noise.extend(self.process.stderr)

    def start(self, do: str, **arguments: object) -> "Future[Any]":
        """Tell it what to do; a future for the outcome."""
        future: Future[Any] = Future()
        with self._lock:
            number = next(self._numbers)
            self._waiting[number] = future
            assert self.process.stdin is not None
            self.process.stdin.write(json.dumps({"command": number, "do": do, **arguments}) + "\n")
            self.process.stdin.flush()
        return future

    def call(self, do: str, *, within_s: float = PATIENCE_S + GRACE_S, **arguments: object) -> Any:
        """Tell it what to do and wait for the outcome. Raises `Failed`."""
        try:
            return self.start(do, **arguments).result(within_s)
        except TimeoutError as error:
            raise Failed("hangs", f"{do} {arguments}: {''.join(self.noise)[-2000:]}") from error

    def kill(self) -> None:
        """End it as a crash does."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """Let it leave, and leave nothing behind."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.kill()
        for thread in self._threads:
            thread.join(5)
        for output in (self.process.stdout, self.process.stderr):
            assert output is not None
            output.close()


@dataclass(frozen=True)
class Message:
    """What an agent has received; of a long body, `text` is the beginning."""

    number: int
    session: int
    size: int
    text: str


class Agent:
    """An agent of a worker that speaks AGP. Names are written `org/ns/type`."""

    def __init__(self, worker: Worker, name: str, number: int, id_: int) -> None:
        self.worker, self.name, self.id = worker, name, id_
        self._number = number

    def start(self, do: str, **arguments: object) -> "Future[Any]":
        """A command of this agent that goes on beside other things."""
        return self.worker.start(do, agent=self._number, **arguments)

    def call(self, do: str, *, within_s: float = PATIENCE_S + GRACE_S, **arguments: object) -> Any:
        """A command of this agent. Raises `Failed`."""
        return self.worker.call(do, within_s=within_s, agent=self._number, **arguments)

    def settle(self, patience_s: float = PATIENCE_S) -> None:
        """Wait until what this agent has said so far is in force at the gateway."""
        self.call("settle", patience_s=patience_s)

    def subscribe(self, name: str, id_: int | None = None) -> None:
        """Ask for messages to `name`, and wait until that is in force."""
        self.call("subscribe", name=name, instance=id_)
        self.settle()

    def route(self, *names: str, id_: int | None = None) -> None:
        """Let messages to these names leave the client."""
        for name in names:
            self.call("route", name=name, instance=id_)

    def session(self, kind: str = "fire_and_forget", **config: object) -> int:
        """A new session of this agent."""
        return int(self.call("session", kind=kind, **config))

    def publish(
        self,
        session: int,
        body: str | Sequence[str],
        name: str,
        id_: int | None = None,
        fanout: int | None = None,
    ) -> None:
        """One message, or several in order; with a fan-out by the low-level call of the wheel."""
        bodies = [body] if isinstance(body, str) else list(body)
        self.call("publish", session=session, bodies=bodies, name=name, instance=id_, fanout=fanout)

    def tell(self, body: str, name: str, id_: int | None = None, fanout: int | None = None) -> int:
        """Route, a session of its own, one message. Returns the session's id."""
        self.route(name, id_=id_)
        session = self.session()
        self.publish(session, body, name, id_, fanout)
        return session

    def until_answered(self, name: str, id_: int | None = None, patience_s: float = PATIENCE_S) -> None:
        """Send until somebody who answers everything has answered: nothing acknowledges a subscription."""
        self.route(name, id_=id_)
        session, ends = self.session(), time.monotonic() + patience_s
        while True:
            self.publish(session, "are you there", name, id_)
            try:
                self.take(1, PROBE_S)
                return
            except Failed:
                if time.monotonic() > ends:
                    raise

    def answer(self, message: Message, body: str) -> None:
        """Publish back to the sender of a message."""
        self.call("answer", number=message.number, body=body)

    def take(self, count: int = 1, patience_s: float = PATIENCE_S) -> list[Message]:
        """The next messages in order. Raises `Failed("timeout")`."""
        found = self.call("take", within_s=patience_s + GRACE_S, count=count, patience_s=patience_s)
        return [Message(**one) for one in found]

    def waiting(self) -> list[Message]:
        """The messages that are there already."""
        return [Message(**one) for one in self.call("waiting")]

    def answer_all(self) -> None:
        """From now on answer each message in upper case."""
        self.call("answer_all")

    def errors(self, count: int = 0, patience_s: float = PATIENCE_S) -> list[str]:
        """What the client has reported where messages come, once that is `count` errors or more."""
        return list(self.call("errors", within_s=patience_s + GRACE_S, count=count, patience_s=patience_s))

    def request(self, session: int, body: str, name: str, id_: int | None = None) -> str:
        """Ask and wait for the answer. Raises `Failed("timeout")`."""
        return str(self.call("request", session=session, body=body, name=name, instance=id_))

    def receive(self, session: int | None = None, patience_s: float = PATIENCE_S) -> Message:
        """The next message of a session, or the first of a new one, as applications get it."""
        return Message(**self.call("receive", session=session, patience_s=patience_s))

    def leave(self) -> None:
        """Close the stream."""
        self.call("leave")


def join(
    worker: Worker,
    name: str,
    config: dict[str, object],
    *,
    id_: int | None = None,
    loop: str = "low",
    settle: bool = True,
    patience_s: float = PATIENCE_S,
) -> Agent:
    """An agent with this connection whose own name is in force."""
    said = worker.call(
        "join",
        within_s=patience_s + GRACE_S,
        name=name,
        config=config,
        instance=id_,
        loop=loop,
        patience_s=patience_s,
    )
    agent = Agent(worker, name, said["agent"], said["id"])
    if settle:
        agent.settle()
    return agent
