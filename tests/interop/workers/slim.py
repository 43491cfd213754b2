"""Agents of slim-bindings 3: what a test can tell them. `../slim_dialogue.py` has the other end of each.

Each agent has a service, and so a connection, of its own. All sessions that it begins or is invited to are read all the
time, so that a test asks what has come and not whether somebody listens.
"""

import asyncio
import contextlib
import datetime
from typing import Any

import slim_bindings as slim
from base import Failure, run

SECRET = "the secret of all agents of a test, of 32 characters and more"
TEXT_LIMIT = 80
INTERVAL = datetime.timedelta(seconds=1)
RETRIES = 5


def seconds(value: float) -> datetime.timedelta:
    """As the wheel has durations."""
    return datetime.timedelta(seconds=value)


def name(text: str, id_: str | None = None) -> Any:
    """`org/ns/type`, with an id or without."""
    return slim.Name(*text.split("/")) if id_ is None else slim.Name.new_with_id(*text.split("/"), id=id_)


def authentication(token_file: str = "", username: str = "", password: str = "") -> Any:
    """A bearer token in a file, or a name and a password."""
    if token_file:
        every_minute = slim.StaticJwtAuth(token_file=token_file, duration=seconds(60))
        return slim.ClientAuthenticationConfig.STATIC_JWT(every_minute)
    return slim.ClientAuthenticationConfig.BASIC(slim.BasicAuth(username=username, password=password))


class Agent:
    """One agent, its connection, sessions and messages."""

    def __init__(self, service: Any, connection: int, app: Any) -> None:
        self.service, self.connection, self.app = service, connection, app
        self.sessions: list[Any] = []
        self.messages: list[dict[str, Any]] = []
        self.contexts: list[tuple[Any, Any]] = []
        self.taken = 0
        self.answering = False
        self.arrived = asyncio.Condition()
        self.tasks = {asyncio.create_task(self.listen())}

    async def listen(self) -> None:
        """Take part in all sessions that others begin."""
        while True:
            self.add(await self.app.listen_for_session_async(None))

    def add(self, session: Any) -> int:
        """Read a session from now on; returns its number."""
        self.sessions.append(session)
        number = len(self.sessions) - 1
        task = asyncio.create_task(self.read(session, number))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return number

    async def read(self, session: Any, number: int) -> None:
        """Until the session ends."""
        while True:
            try:
                message = await session.get_message_async(timeout=seconds(3600))
            except slim.SlimError as error:
                print("session", number, "ends:", error)
                return
            body = bytes(message.payload)
            source = message.context.source_name
            self.messages.append(
                {
                    "number": len(self.messages),
                    "session": number,
                    "size": len(body),
                    "text": body[:TEXT_LIMIT].decode(errors="replace"),
                    "source": "/".join(source.components()),
                    "id": source.id(),
                    "metadata": dict(message.context.metadata),
                }
            )
            self.contexts.append((session, message.context))
            if self.answering:
                await session.publish_async(body.upper(), None, None)
            async with self.arrived:
                self.arrived.notify_all()

    async def leave(self) -> None:
        """Close the connection."""
        for task in self.tasks:
            task.cancel()
        with contextlib.suppress(slim.SlimError):
            self.service.disconnect(self.connection)
        with contextlib.suppress(TimeoutError, slim.SlimError):
            await asyncio.wait_for(self.service.shutdown_async(), 5)


class Commands:
    """What a test can tell this worker."""

    def __init__(self) -> None:
        self.agents: dict[int, Agent] = {}
        self._numbers = iter(range(1, 1 << 30))
        slim.uniffi_set_event_loop(asyncio.get_running_loop())
        tracing = slim.new_tracing_config()
        tracing.log_level = "warn"
        slim.initialize_with_configs(
            tracing_config=tracing,
            runtime_config=slim.new_runtime_config(),
            service_config=[slim.new_service_config()],
        )

    async def join(
        self,
        agent: str,
        endpoint: str,
        files: dict[str, str] | None,
        auth: dict[str, str] | None,
        subscribe: bool,
        patience_s: float,
    ) -> dict[str, Any]:
        """Connect an agent and, if so wanted, subscribe to its own name and wait for the acknowledgement."""
        number = next(self._numbers)
        service = slim.Service(f"{agent.replace('/', '-')}-{number}")
        config = slim.new_insecure_client_config(endpoint)
        if files is not None:
            config = slim.new_secure_client_config(endpoint)
            config.tls.ca_source = slim.CaSource.FILE(path=files["ca"])
            if "certificate" in files:
                config.tls.source = slim.TlsSource.FILE(cert=files["certificate"], key=files["key"])
        if auth is not None:
            config.auth = authentication(**auth)
        try:
            connection = await asyncio.wait_for(service.connect_async(config), patience_s)
            app = service.create_app_with_secret(name(agent), SECRET)
            self.agents[number] = Agent(service, connection, app)
            if subscribe:
                await self.subscribe(number, agent, own=True)
        except slim.SlimError as error:
            raise Failure("refused", str(error)) from error
        return {"agent": number, "id": app.id()}

    async def subscribe(self, agent: int, name_: str, own: bool = True) -> None:
        """Wait for the acknowledgement."""
        one = self.agents[agent]
        try:
            await one.app.subscribe_async(name(name_, one.app.id() if own else None), one.connection)
        except slim.SlimError as error:
            raise Failure("refused", str(error)) from error

    async def unsubscribe(self, agent: int, name_: str) -> None:
        """Wait for the acknowledgement."""
        one = self.agents[agent]
        await one.app.unsubscribe_async(name(name_, one.app.id()), one.connection)

    async def session(
        self, agent: int, destination: str, id_: str | None, group: bool, mls: bool, reliable: bool
    ) -> int:
        """Begin a session with one agent, or a group without members yet; returns its number."""
        one = self.agents[agent]
        about = name(destination, id_)
        config = slim.SessionConfig(
            session_type=slim.SessionType.GROUP if group else slim.SessionType.POINT_TO_POINT,
            max_retries=RETRIES if reliable else None,
            interval=INTERVAL if reliable else None,
            metadata={},
            mls_settings=slim.MlsSettings(
                header_integrity_validation_percent=100, max_seen_control_message_ids_size=None
            )
            if mls
            else None,
        )
        await one.app.set_route_async(about, one.connection)
        try:
            return one.add(await one.app.create_session_and_wait_async(config, about))
        except slim.SlimError as error:
            raise Failure("refused", str(error)) from error

    async def invite(self, agent: int, session: int, member: str) -> None:
        """Wait until the member takes part."""
        one = self.agents[agent]
        await one.app.set_route_async(name(member), one.connection)
        await one.sessions[session].invite_and_wait_async(name(member))

    async def remove(self, agent: int, session: int, member: str) -> None:
        """Wait until the member has gone."""
        await self.agents[agent].sessions[session].remove_and_wait_async(name(member))

    async def publish(self, agent: int, session: int, bodies: list[str], pad: int, confirmed: bool) -> None:
        """One message after the other, padded to `pad` bytes; `confirmed`: wait for the receivers' acknowledgements."""
        one = self.agents[agent].sessions[session]
        for body in bodies:
            handle = await one.publish_async(body.encode().ljust(pad, b"."), None, {"key": "value"})
            if confirmed:
                try:
                    await handle.wait_async()
                except slim.SlimError as error:
                    raise Failure("unconfirmed", str(error)) from error

    async def scatter(self, agent: int, session: int, body: str, destination: str, fanout: int) -> None:
        """By the low-level call of the wheel, the only one that has a fan-out."""
        one = self.agents[agent].sessions[session]
        await one.publish_with_params_async(name(destination), fanout, body.encode(), None, None, None)

    async def answer(self, agent: int, number: int, body: str) -> None:
        """Publish to the sender of a message alone."""
        session, context = self.agents[agent].contexts[number]
        await session.publish_to_async(context, body.encode(), None, None)

    async def answer_all(self, agent: int) -> None:
        """From now on answer each message in upper case."""
        self.agents[agent].answering = True

    async def take(self, agent: int, count: int, patience_s: float) -> list[dict[str, Any]]:
        """The next messages in order, of whatever sessions."""
        one = self.agents[agent]
        wanted = one.taken + count
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s), one.arrived:
                await one.arrived.wait_for(lambda: len(one.messages) >= wanted)
        found = one.messages[one.taken : wanted]
        if len(found) < count:
            raise Failure("timeout", f"{len(found)} of {count} came: {[each['text'] for each in found[:5]]}")
        one.taken = wanted
        return found

    async def waiting(self, agent: int) -> list[dict[str, Any]]:
        """The messages that are there already."""
        one = self.agents[agent]
        return await self.take(agent, len(one.messages) - one.taken, 0)

    async def leave(self, agent: int) -> None:
        """Close the connection of an agent."""
        await self.agents.pop(agent).leave()

    async def leave_all(self) -> None:
        """Close all connections."""
        everybody = list(self.agents.values())
        self.agents.clear()
        await asyncio.gather(*(agent.leave() for agent in everybody))

    async def serve(self, address: str) -> None:
        """Run the node that is in the wheel."""
        await slim.get_global_service().run_server_async(slim.new_insecure_server_config(address))


if __name__ == "__main__":
    run(Commands)
