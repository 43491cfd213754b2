"""Registration of agents, and of their running instances.

Whoever may speak as a name may register it, and administrators of its tenant. Concurrent calls are done together: see
`registration` and `liveness`, whose works the store gives all that waits.
"""

import base64
import binascii
from collections.abc import Callable
from functools import partial
from typing import Protocol

from sqlalchemy import Connection

from agpd.control import liveness
from agpd.control.caller import Caller, missing
from agpd.control.checks import check_texts, split_name
from agpd.control.liveness import Renewal, Start
from agpd.control.model import agent
from agpd.control.registration import Registration, register_all
from agpd.control.resources import Agent, Instance
from agpd.control.rows import agents_named
from agpd.control.store import Notes, Store
from agpd.control.watching import Feed
from agpd.errors import Code, Refused
from agpd.names import Name, parse_instance, parse_type

AGENT_LIMIT_BYTES = 32 * 1024  # as JSON: a page of 500 agents has to be made without hurting the data plane
_CHANCE_BITS = 21  # beside milliseconds, in 63 bits: until the year 2109
_STEP_BITS = 10


class Policy(Protocol):
    """Who may do what; see `agpd.control.policy`."""

    def allows(self, verb: str, subject: Name, target: Name) -> bool: ...


class Registry:
    """Methods raise `Refused`: NOT_FOUND, ALREADY_EXISTS, CONFLICT, QUOTA_EXCEEDED, NOT_PERMITTED, INVALID_*.

    `policy` returns the current one, `chance` so many random bits; `instance_life` in seconds.
    """

    def __init__(
        self,
        store: Store,
        feed: Feed,
        policy: Callable[[], Policy],
        *,
        instance_life: float,
        clock: Callable[[], float],
        chance: Callable[[int], int],
    ) -> None:
        self._store = store
        self._feed = feed
        self._policy = policy
        self._instance_life = instance_life
        self._clock = clock
        self._chance = chance
        self._number_before = 0

    async def register(self, caller: Caller, resource: Agent, *, create: bool = False) -> Agent:
        """Create or replace the registration; with `create` only create. The answer is what is registered.

        The namespace must exist, the type need not: the first agent of a type creates it. A registration that changes
        nothing leaves no trace.
        """
        name = self._name(caller, resource.type, resource.identity)
        _check(resource)
        asked = Registration(caller.label, resource, name, self._number(), create)
        return await self._store.write_each(register_all, asked)

    async def deregister(self, caller: Caller, type: str, identity: str) -> None:  # noqa: A002
        """Forget the agent with all its instances."""
        name = self._name(caller, type, identity)
        what = f"agent {type}/{identity}"

        def work(connection: Connection, notes: Notes) -> None:
            found = agents_named(connection, [name])
            if name not in found:
                raise missing(what)
            connection.execute(agent.delete().where(agent.c.id == found[name].id))
            notes.add(caller.label, name.organization, "agent.deregister", str(name))

        await self._store.write(work)

    async def start(self, caller: Caller, type: str, identity: str, instance_name: str) -> Instance:  # noqa: A002
        """An instance of a registered agent runs from now on; one that runs already is renewed.

        `instance_name` is a name of the same type. The answer says until when it has to be renewed.
        """
        name = self._name(caller, type, identity)
        if self._instance(caller, instance_name).type_name != name.type_name:
            raise Refused(Code.INVALID_REQUEST, f"instance {instance_name} is not of type {type}")
        asked = Start(name, instance_name, self._instance_life)
        started = await self._store.write_each(liveness.start_all, asked)
        if started.new:
            self._feed.tell_started(started.agent)
        return started.instance

    async def heartbeat(self, caller: Caller, instance_name: str) -> Instance:
        """Let it live for another `control.instance_life_s`."""
        self._instance(caller, instance_name)
        return await self._store.write_each(liveness.renew_all, Renewal(instance_name, self._instance_life))

    async def stop(self, caller: Caller, instance_name: str) -> None:
        """It runs no more; also if it did not."""
        self._instance(caller, instance_name)
        if number := await self._store.write_each(liveness.stop_all, instance_name):
            self._feed.tell_stopped([number])

    async def tick(self, now: float) -> None:
        """Remove the instances that nobody has renewed in time. Called each second; `now` in Unix seconds."""
        while await self._store.read(partial(liveness.any_late, now=now)):
            self._feed.tell_stopped(await self._store.write(partial(liveness.expire, now=now)))

    def _name(self, caller: Caller, type_name: str, identity: str) -> Name:
        """The type's name at the identity, which the caller may register."""
        parse_type(type_name)
        split_name(identity, "identity")
        return self._checked(caller, parse_instance(f"{type_name}/{identity}"), "agent")

    def _instance(self, caller: Caller, instance_name: str) -> Name:
        return self._checked(caller, parse_instance(instance_name), "instance")

    def _checked(self, caller: Caller, name: Name, what: str) -> Name:
        caller.check_member(name.organization, f"{what} {name}")
        if not caller.may_speak_as(name) and not caller.administers(name.organization):
            raise Refused(Code.NOT_PERMITTED, f"{caller.label} may speak as {caller.pattern}, not as {name}")
        if not self._policy().allows("register", name, name):
            raise Refused(Code.NOT_PERMITTED, f"a grant denies to register {name}")
        return name

    def _number(self) -> int:
        """For a new agent: by time and chance, so that numbers tell nobody how many agents others have."""
        number = int(self._clock() * 1000) << _CHANCE_BITS | self._chance(_CHANCE_BITS)
        if number <= self._number_before:
            number = self._number_before + 1 + self._chance(_STEP_BITS)
        self._number_before = number
        return number


def _check(resource: Agent) -> None:
    size = check_texts(resource)
    if size > AGENT_LIMIT_BYTES:
        raise Refused(
            Code.INVALID_REQUEST, f"the registration has {size} bytes, at most {AGENT_LIMIT_BYTES} are held"
        )
    for use, key in resource.public_keys.items():
        try:
            base64.b64decode(key, validate=True)
        except (binascii.Error, ValueError):
            raise Refused(Code.INVALID_REQUEST, f"public_keys[{use!r}] is not base64") from None
