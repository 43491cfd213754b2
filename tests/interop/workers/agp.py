"""A worker that speaks AGP with the wheel of its environment: any number of agents, each on a connection of its own.

An agent is read in one of three ways:

- `low`: the worker takes what comes by the wheel's low-level `receive`; errors are kept and nothing stops;
- `high`: the wheel's own loop sorts messages into sessions, as applications have it; needed for `request`;
- `none`: nobody reads.
"""

import asyncio
import contextlib
import json
import os
from typing import Any

from base import Failure, run
from wheel import KINDS, Expired, Node, agent_type, connect, disconnect, fire_and_forget, wheel

SHOWN_BYTES = 4096
PROBE_S = 0.25


def shown(number: int, session: Any, body: bytes) -> dict[str, Any]:
    """A message as the test sees it; of a long one the beginning. `number` is for `answer`."""
    text = bytes(body[:SHOWN_BYTES]).decode("utf-8", "replace")
    return {"number": number, "session": session.id, "size": len(body), "text": text}


class Agent:
    """An agent, and what has come for it."""

    def __init__(self, node: Any, name: str, config: dict[str, Any], loop: str) -> None:
        self.node, self.name, self.config, self.loop = node, name, config, loop
        self.sessions: dict[int, Any] = {}
        self.messages: list[tuple[Any, bytes]] = []
        self.taken = 0
        self.errors: list[str] = []
        self.answering = False
        self._arrived = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to read."""
        if self.loop == "high":
            await self.node.__aenter__()
        elif self.loop == "low":
            self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while True:
            try:
                session, body = await wheel.receive(self.node.svc)
            except Exception as error:
                async with self._arrived:
                    self.errors.append(str(error))
                    self._arrived.notify_all()
                continue
            async with self._arrived:
                self.messages.append((session, body))
                self._arrived.notify_all()
            if self.answering:
                await self.node.publish_to(session, bytes(body).upper())

    async def failed(self, count: int, patience_s: float) -> list[str]:
        """What `receive` has raised, once there are so many."""
        async with self._arrived:
            await asyncio.wait_for(self._arrived.wait_for(lambda: len(self.errors) >= count), patience_s)
        return self.errors

    async def take(self, count: int, patience_s: float) -> list[dict[str, Any]]:
        """The next messages in order."""
        wanted = self.taken + count
        async with self._arrived:
            with contextlib.suppress(TimeoutError):
                enough = self._arrived.wait_for(lambda: len(self.messages) >= wanted)
                await asyncio.wait_for(enough, patience_s)
        found = [shown(n, *self.messages[n]) for n in range(self.taken, min(wanted, len(self.messages)))]
        if len(found) < count:
            some = [one["text"][:40] for one in found[:5]]
            raise Failure("timeout", f"{len(found)} of {count} came: {some}; errors: {self.errors}")
        self.taken = wanted
        return found

    async def leave(self) -> None:
        """Close the stream."""
        if self._task is not None:
            self._task.cancel()
        with contextlib.suppress(Exception):
            await asyncio.wait_for(disconnect(self.node, self.config["endpoint"]), 2)


class Commands:
    """What a test can tell this worker; see `dialogue.py`, which has the other end of each."""

    def __init__(self) -> None:
        self.agents: dict[int, Agent] = {}
        self._numbers = iter(range(1, 1 << 30))
        self._lighthouses: dict[str, Agent] = {}

    async def join(
        self, name: str, config: dict[str, Any], instance: int | None, loop: str, patience_s: float
    ) -> dict[str, int]:
        """Connect an agent; nothing is known yet of its subscription."""
        agent = await self._connected(name, config, instance, loop, patience_s)
        number = next(self._numbers)
        self.agents[number] = agent
        return {"agent": number, "id": agent.node.local_id}

    async def _connected(
        self, name: str, config: dict[str, Any], instance: int | None, loop: str, patience_s: float
    ) -> Agent:
        node = await Node.new(*name.split("/"), instance)
        await asyncio.wait_for(connect(node, config), patience_s)
        agent = Agent(node, name, config, loop)
        await agent.start()
        return agent

    async def settle(self, agent: int, patience_s: float) -> None:
        """Wait until the gateway has read everything that this agent has said so far.

        It reads a stream in order: when a message of the agent has reached somebody, its subscriptions stand.
        """
        own = self.agents[agent]
        lighthouse = await self._lighthouse(own, patience_s)
        kind = lighthouse.name.split("/")
        await own.node.set_route(*kind)
        session = await fire_and_forget(own.node)
        text = f"settle {agent} {next(self._numbers)}"
        async with asyncio.timeout(patience_s):
            while True:
                await own.node.publish(session, text.encode(), *kind)
                with contextlib.suppress(Failure):
                    while (await lighthouse.take(1, PROBE_S))[0]["text"] != text:
                        pass
                    return

    async def _lighthouse(self, own: Agent, patience_s: float) -> Agent:
        organization, namespace, _ = own.name.split("/")
        name = f"{organization}/{namespace}/lighthouse-{os.getpid()}-{next(self._numbers)}"
        key = json.dumps([organization, namespace, own.config])
        if key not in self._lighthouses:
            self._lighthouses[key] = await self._connected(name, own.config, None, "low", patience_s)
        return self._lighthouses[key]

    async def subscribe(self, agent: int, name: str, instance: int | None) -> None:
        """Ask for messages to `name`."""
        await self.agents[agent].node.subscribe(*name.split("/"), instance)

    async def unsubscribe(self, agent: int, name: str, instance: int | None) -> None:
        """Call the wheel's method of this name."""
        await self.agents[agent].node.unsubscribe(*name.split("/"), instance)

    async def route(self, agent: int, name: str, instance: int | None) -> None:
        """Let messages to `name` leave the client."""
        await self.agents[agent].node.set_route(*name.split("/"), instance)

    async def session(self, agent: int, kind: str, **config: Any) -> int:
        """Make a session."""
        own = self.agents[agent]
        made = await KINDS[kind](own.node, **config)
        own.sessions[made.id] = made
        return made.id

    async def publish(
        self, agent: int, session: int, bodies: list[str], name: str, instance: int | None, fanout: int | None
    ) -> None:
        """Publish one message after the other; with a fan-out by the low-level call, the only one that has it."""
        own = self.agents[agent]
        info = own.sessions[session]
        for body in bodies:
            if fanout is None:
                await own.node.publish(info, body.encode(), *name.split("/"), instance)
            else:
                await wheel.publish(own.node.svc, info, fanout, body.encode(), agent_type(name), instance)

    async def publish_many(
        self, agent: int, session: int, count: int, size: int, name: str, instance: int | None
    ) -> float:
        """Publish `count` messages of `size` bytes that begin with their number; returns seconds."""
        own, clock = self.agents[agent], asyncio.get_running_loop().time
        info, began = own.sessions[session], clock()
        for number in range(count):
            await own.node.publish(info, f"{number} ".encode().ljust(size, b"."), *name.split("/"), instance)
        return clock() - began

    async def answer(self, agent: int, number: int, body: str) -> None:
        """Publish back to the sender of a message."""
        own = self.agents[agent]
        await own.node.publish_to(own.messages[number][0], body.encode())

    async def answer_all(self, agent: int) -> None:
        """From now on answer each message in upper case."""
        self.agents[agent].answering = True

    async def take(self, agent: int, count: int, patience_s: float) -> list[dict[str, Any]]:
        """The next messages of an agent that is read `low`."""
        return await self.agents[agent].take(count, patience_s)

    async def waiting(self, agent: int) -> list[dict[str, Any]]:
        """The messages that are there already."""
        own = self.agents[agent]
        return await own.take(len(own.messages) - own.taken, 0)

    async def errors(self, agent: int, count: int, patience_s: float) -> list[str]:
        """What the low-level `receive` has raised, once that is `count` errors or more."""
        return await self.agents[agent].failed(count, patience_s)

    async def request(self, agent: int, session: int, body: str, name: str, instance: int | None) -> str:
        """Ask and wait for the answer; the agent is read `high`."""
        own = self.agents[agent]
        try:
            _, found = await own.node.request_reply(
                own.sessions[session], body.encode(), *name.split("/"), instance
            )
        except Expired as error:
            raise Failure("timeout", str(error)) from error
        return bytes(found).decode()

    async def receive(self, agent: int, session: int | None, patience_s: float) -> dict[str, Any]:
        """The next message of a session, or the first of a new one; the agent is read `high`."""
        own = self.agents[agent]
        try:
            info, body = await asyncio.wait_for(own.node.receive(session=session), patience_s)
        except Expired as error:
            raise Failure("timeout", str(error)) from error
        own.messages.append((info, body))
        return shown(len(own.messages) - 1, info, body)

    async def leave(self, agent: int) -> None:
        """Close the stream of an agent."""
        await self.agents.pop(agent).leave()

    async def leave_all(self, endpoint: str) -> None:
        """Close the streams of all agents; lighthouses at `endpoint` stay, for the next test."""
        everybody = list(self.agents.values())
        self.agents.clear()
        for key, one in list(self._lighthouses.items()):
            if one.config["endpoint"] != endpoint:
                everybody.append(self._lighthouses.pop(key))
        await asyncio.gather(*(agent.leave() for agent in everybody))

    async def serve(self, address: str) -> None:
        """Run the gateway that is in the wheel."""
        service = await wheel.create_pyservice("acme", "lab", "gateway")
        await wheel.run_server(service, {"endpoint": address, "tls": {"insecure": True}})
        self._gateway = service


if __name__ == "__main__":
    run(Commands)
