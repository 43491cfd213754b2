"""The test's end of agents of slim-bindings 3. As in `dialogue.py`, everything waits for an outcome with a deadline."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from dialogue import GRACE_S, PATIENCE_S, Worker
from wheels import SLIM, python


@dataclass(frozen=True)
class Message:
    """What an agent has received; of a long body, `text` is the beginning. `session` is its own number of it."""

    number: int
    session: int
    size: int
    text: str
    source: str = field(compare=False)
    id: str = field(compare=False)
    metadata: dict[str, str] = field(compare=False)


class Agent:
    """An agent of a worker that speaks SLIM. Names are written `org/ns/type`, ids as UUIDs."""

    def __init__(self, worker: Worker, name: str, number: int, id_: str) -> None:
        self.worker, self.name, self.id = worker, name, id_
        self._number = number

    def start(self, do: str, **arguments: object) -> "Future[Any]":
        """A command of this agent that goes on beside other things."""
        return self.worker.start(do, agent=self._number, **arguments)

    def call(self, do: str, *, within_s: float = PATIENCE_S + GRACE_S, **arguments: object) -> Any:
        """A command of this agent. Raises `Failed`."""
        return self.worker.call(do, within_s=within_s, agent=self._number, **arguments)

    def subscribe(self, name: str, *, own: bool = True) -> None:
        """To a name with the agent's own id, or to a bare one; acknowledged."""
        self.call("subscribe", name_=name, own=own)

    def unsubscribe(self, name: str) -> None:
        """From a name with the agent's own id; acknowledged."""
        self.call("unsubscribe", name_=name)

    def session(
        self,
        destination: str,
        id_: str | None = None,
        *,
        group: bool = False,
        mls: bool = False,
        reliable: bool = True,
        within_s: float = PATIENCE_S + GRACE_S,
    ) -> int:
        """A session with whoever has that name, or a group of that name. Raises `Failed("refused")`."""
        given = {"destination": destination, "id_": id_, "group": group, "mls": mls, "reliable": reliable}
        return int(self.call("session", within_s=within_s, **given))

    def group(self, name: str, members: "Sequence[Agent]", *, mls: bool = False) -> int:
        """A group of these members, who have all joined."""
        session = self.session(name, group=True, mls=mls)
        for member in members:
            self.invite(session, member)
        return session

    def invite(self, session: int, member: "Agent") -> None:
        """Wait until it takes part."""
        self.call("invite", session=session, member=member.name)

    def remove(self, session: int, member: "Agent") -> None:
        """Wait until it has gone."""
        self.call("remove", session=session, member=member.name)

    def publish(
        self,
        session: int,
        body: str | Sequence[str],
        *,
        pad: int = 0,
        confirmed: bool = True,
        within_s: float = PATIENCE_S + GRACE_S,
    ) -> None:
        """One message, or several in order. Raises `Failed("unconfirmed")`."""
        bodies = [body] if isinstance(body, str) else list(body)
        given = {"session": session, "bodies": bodies, "pad": pad, "confirmed": confirmed}
        self.call("publish", within_s=within_s, **given)

    def scatter(self, session: int, body: str, name: str, fanout: int) -> None:
        """One message with a fan-out."""
        self.call("scatter", session=session, body=body, destination=name, fanout=fanout)

    def answer(self, message: Message, body: str) -> None:
        """Publish to the sender of a message alone."""
        self.call("answer", number=message.number, body=body)

    def answer_all(self) -> None:
        """From now on answer each message in upper case."""
        self.call("answer_all")

    def take(self, count: int = 1, patience_s: float = PATIENCE_S) -> list[Message]:
        """The next messages in order. Raises `Failed("timeout")`."""
        found = self.call("take", within_s=patience_s + GRACE_S, count=count, patience_s=patience_s)
        return [Message(**one) for one in found]

    def waiting(self) -> list[Message]:
        """The messages that are there already."""
        return [Message(**one) for one in self.call("waiting")]

    def leave(self) -> None:
        """Close the connection."""
        self.call("leave")


def worker() -> Worker:
    """A process for agents of slim-bindings 3. Skips the test where the wheel cannot be had."""
    return Worker(python(SLIM), "slim.py")


def join(
    worker: Worker,
    name: str,
    endpoint: str,
    files: dict[str, str] | None = None,
    *,
    auth: dict[str, str] | None = None,
    subscribe: bool = True,
    patience_s: float = PATIENCE_S,
) -> Agent:
    """An agent at this endpoint whose own name is in force.

    `files`: "ca" and perhaps "certificate" and "key", for TLS. `auth`: "token_file", or "username" and "password".
    Raises `Failed("refused")`.
    """
    given = {"agent": name, "endpoint": endpoint, "files": files, "auth": auth, "subscribe": subscribe}
    said = worker.call("join", within_s=patience_s + GRACE_S, patience_s=patience_s, **given)
    return Agent(worker, name, said["agent"], said["id"])
