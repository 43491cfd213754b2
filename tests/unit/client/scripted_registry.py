"""A registry over real gRPC, in memory: it fails when the test says so, and its time stands still."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio

from agpd._proto import control_pb2 as messages
from agpd._proto import control_pb2_grpc as services
from agpd.errors import CATALOGUE, Code, describe

LIFE_S = 60.0


class ScriptedRegistry(services.RegistryServicer, services.DiscoveryServicer):  # type: ignore[misc]
    """`failures`: what the next calls end with, a code or a bare status. `calls`: their names."""

    def __init__(self) -> None:
        self.agents: dict[tuple[str, str], Any] = {}
        self.instances: dict[str, Any] = {}
        self.failures: deque[Code | grpc.StatusCode] = deque()
        self.calls: list[str] = []
        self.tokens: list[str] = []
        self.certificates: list[bytes] = []  # of the callers
        self.asked: list[Any] = []
        self.events: asyncio.Queue[Any] = asyncio.Queue()
        self.page_limit = 2
        self.watchers = 0
        self.held: asyncio.Event | None = None
        self._server = grpc.aio.server()
        services.add_RegistryServicer_to_server(self, self._server)
        services.add_DiscoveryServicer_to_server(self, self._server)
        self.port = 0

    async def open(self, credentials: Any = None, port: int = 0) -> "ScriptedRegistry":
        where = f"127.0.0.1:{port}"
        if credentials is None:
            self.port = self._server.add_insecure_port(where)
        else:
            self.port = self._server.add_secure_port(where, credentials)
        await self._server.start()
        return self

    async def close(self) -> None:
        await self._server.stop(None)

    async def __aenter__(self) -> "ScriptedRegistry":
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _begin(self, name: str, request: Any, context: Any) -> None:
        self.calls.append(name)
        self.asked.append(request)
        self.tokens.append(str(dict(iter(context.invocation_metadata())).get("authorization", "")))
        self.certificates += context.auth_context().get("x509_pem_cert", [])
        if self.held is not None:
            await self.held.wait()
        if self.failures:
            await self._fail(self.failures.popleft(), context)

    async def _fail(self, failure: Code | grpc.StatusCode, context: Any) -> None:
        if isinstance(failure, Code):
            status = grpc.StatusCode[CATALOGUE[failure].grpc]
            trailing = (("agpd-code", str(int(failure))), ("agpd-code-name", failure.name))
            await context.abort(status, describe(failure, "as the test says"), trailing)
        await context.abort(failure, "as the test says")

    async def Register(self, request: Any, context: Any) -> Any:
        await self._begin("Register", request, context)
        key = (request.agent.type, request.agent.identity)
        if request.create and key in self.agents:
            await self._fail(Code.ALREADY_EXISTS, context)
        self.agents[key] = request.agent
        request.agent.created = request.agent.updated = 1000.0
        answer = messages.Agent()
        answer.CopyFrom(request.agent)
        answer.instances.extend(self.instances.values())
        return answer

    async def Deregister(self, request: Any, context: Any) -> Any:
        await self._begin("Deregister", request, context)
        if self.agents.pop((request.type, request.identity), None) is None:
            await self._fail(Code.NOT_FOUND, context)
        return messages.Empty()

    async def Start(self, request: Any, context: Any) -> Any:
        await self._begin("Start", request, context)
        agent = self.agents.get((request.type, request.identity))
        if agent is None:
            await self._fail(Code.NOT_FOUND, context)
        before = self.instances.get(request.instance)
        since = before.since if before else 1000.0
        instance = messages.Instance(name=request.instance, since=since, expires=1000.0 + LIFE_S)
        self.instances[request.instance] = instance
        return instance

    async def Heartbeat(self, request: Any, context: Any) -> Any:
        await self._begin("Heartbeat", request, context)
        if request.instance not in self.instances:
            await self._fail(Code.NOT_FOUND, context)
        instance = self.instances[request.instance]
        instance.expires += LIFE_S / 3
        return instance

    async def Stop(self, request: Any, context: Any) -> Any:
        await self._begin("Stop", request, context)
        self.instances.pop(request.instance, None)
        return messages.Empty()

    async def Find(self, request: Any, context: Any) -> Any:
        await self._begin("Find", request, context)
        found = [agent for key, agent in sorted(self.agents.items()) if "/".join(key) > request.after]
        size = request.limit or self.page_limit
        last = found[:size][-1] if len(found) > size else None
        return messages.AgentPage(items=found[:size], next=last and f"{last.type}/{last.identity}")

    async def Get(self, request: Any, context: Any) -> Any:
        await self._begin("Get", request, context)
        agent = self.agents.get((request.type, request.identity))
        if agent is None:
            await self._fail(Code.NOT_FOUND, context)
        return agent

    async def Watch(self, request: Any, context: Any) -> AsyncIterator[Any]:
        await self._begin("Watch", request, context)
        self.watchers += 1  # first: the client may look as soon as it is told
        try:
            await context.send_initial_metadata(())
            while (event := await self.events.get()) is not None:
                if isinstance(event, Code):
                    await self._fail(event, context)
                yield event
        finally:
            self.watchers -= 1
