"""The cast of a test: workers by wheel, and agents of them at one gateway."""

import itertools
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import dialogue
import wheels
from dialogue import Agent, Worker

# Agents that have gone out of scope in a client stay connected: no test uses the names of another.
_numbers: Iterator[int] = itertools.count(1)


def fresh(kind: str) -> str:
    """A name `acme/lab/<kind>-...` that nobody has used."""
    return f"acme/lab/{kind}-{os.getpid()}-{next(_numbers)}"


class Lab:
    """Starts workers when they are wanted."""

    def __init__(self, endpoint: str, workers: dict[str, Worker] | None = None) -> None:
        self.endpoint = endpoint
        self._workers: dict[str, Worker] = {} if workers is None else workers

    def __enter__(self) -> "Lab":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers.values():
            worker.close()

    def at(self, endpoint: str) -> "Lab":
        """The same workers at another gateway."""
        return Lab(endpoint, self._workers)

    def worker(self, wheel: str = wheels.LATEST, alone: str = "") -> Worker:
        """The worker of a wheel; `alone` names one of several."""
        found = self._workers.get(wheel + alone)
        if found is None or found.process.poll() is not None:
            if found is not None:
                found.close()
            found = self._workers[wheel + alone] = Worker(wheels.python(wheel), "agp.py")
        return found

    def join(
        self, wheel: str = wheels.LATEST, name: str = "", *, alone: str = "", **options: object
    ) -> Agent:
        """An agent over plaintext; without a name it has one of its own."""
        config: dict[str, object] = {"endpoint": self.endpoint, "tls": {"insecure": True}}
        worker = self.worker(wheel, alone)
        return dialogue.join(worker, name or fresh("agent"), config, **options)  # type: ignore[arg-type]

    def join_many(self, count: int, name: str) -> list[Agent]:
        """So many agents of one name, at once: agpd lets those who come in a throng wait a little."""
        with ThreadPoolExecutor(count) as threads:
            agents = list(threads.map(lambda _: self.join(name=name, settle=False), range(count)))
        for agent in agents:
            agent.settle()
        return agents

    def leave_all(self) -> None:
        """Close the streams of all agents, wherever they are."""
        for worker in self._workers.values():
            if worker.process.poll() is None:
                worker.call("leave_all", endpoint=self.endpoint)
