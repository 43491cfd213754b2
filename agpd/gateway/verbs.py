"""The control verbs of the native protocol, one function each (`proto/native.md` section 3).

Each gets the hub, the frame and the link that it came from; it answers with OK, or raises `Refused` before
anything has changed, or `Fatal`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from agpd import names
from agpd.errors import Code, Fatal, Refused, code_of
from agpd.routing.subscriptions import Presence
from agpd.wire import frames
from agpd.wire.frames import Body, Frame, Kind
from agpd.wire.session import agree_version

if TYPE_CHECKING:
    from agpd.gateway.hub import Hub
    from agpd.gateway.link import Link
    from agpd.routing.connections import Agent

NAMES_IN_ONE_FRAME = 60  # of 255 bytes each: they fit the shortest frame limit that can be set

# What it takes to verify a token, in deliveries of a message: 260 µs, most of it for the signature.
TOKEN_WORK = 180

Verb = Callable[["Hub", Frame, "Link"], None]


def hello(hub: Hub, frame: Frame, link: Link) -> None:
    """HELLO: agree on a version and say what holds here."""
    said = frames.decode(frame.body, frames.Hello)
    limits = hub.admission.limits
    version = agree_version(said)
    _identify(hub, link, said.token)
    organization = link.principal.organization
    if organization and hub.admission.policy.is_suspended(organization):
        raise Fatal(Code.TENANT_SUSPENDED)
    link.epoch = said.epoch
    link.reassembly.limit = limits.frame_limit_bytes
    welcome = frames.Welcome(
        version,
        hub.identity,
        str(link.principal.speaks_as),
        limits.frame_limit_bytes,
        limits.ping_interval_ms,
        limits.subscriptions_per_connection,
        limits.handles_per_connection,
        hub.tokens.seconds_left(link.principal),
    )
    link.send(frames.encode(Kind.WELCOME, welcome))
    if hub.draining:
        link.session.drain()
        link.send(frames.encode(Kind.DRAIN, frames.Refusal(Code.SHUTTING_DOWN)))


def _identify(hub: Hub, link: Link, token: str) -> None:
    """Whoever greets with a token wants it to hold: there is no session without it."""
    try:
        principal = hub.tokens.authenticate(token, link.principal) if token else link.principal
        hub.identify(link, principal)
    except Refused as refusal:
        raise Fatal(refusal.code, refusal.detail) from None


def authenticate(hub: Hub, frame: Frame, link: Link) -> None:
    """AUTHENTICATE: from now on another token holds on this connection."""
    token = frames.decode(frame.body, frames.Token).token
    link.work += TOKEN_WORK
    hub.identify(link, hub.tokens.authenticate(token, link.principal))
    _ok(link, frame, body=frames.Seconds(hub.tokens.seconds_left(link.principal)))
    hub.reconsider(link)


def register(hub: Hub, frame: Frame, link: Link) -> None:
    """REGISTER: bind an agent's name to the connection."""
    name = names.parse_instance(_name(frame))
    hub.admission.check_register(link, name)
    if hub.router.agent(name) is None:  # else it is taken over
        hub.quotas.check_agents(name.organization, hub.router.usage(name.organization).agents)
    registration = hub.router.register(link, name, _may_take_over(hub, link, name))
    agent = registration.agent
    if registration.displaced is not None:
        _displace(registration.displaced, frame)
    if registration.evicted is not None:
        _evict(hub, registration.evicted, agent)
    number = agent.entry.number
    link.sources[number] = agent
    link.former_sources.discard(number)
    hub.announce(link, agent.entry)
    _ok(link, frame, destination=number)
    hub.tell(registration.presence)


def _may_take_over(hub: Hub, link: Link, name: names.Name) -> bool:
    """Is it the same key, on a newer connection? (section 5.2)"""
    holder = hub.router.agent(name)
    if holder is None:
        return False
    other: Link = holder.link  # type: ignore[assignment]
    same_key = bool(link.principal.key_fingerprint) and (
        link.principal.key_fingerprint == other.principal.key_fingerprint
    )
    return other is not link and same_key and link.epoch > other.epoch


def _displace(agent: Agent, frame: Frame) -> None:
    link: Link = agent.link  # type: ignore[assignment]
    link.give_up(agent.entry.number)
    body = frames.Refusal(Code.TAKEN_OVER)
    link.send(frames.encode(Kind.ENDED, body, destination=agent.entry.number))


def _evict(hub: Hub, loser: Agent, owner: Agent) -> None:
    """The address that `loser` held by a subscription has its owner now."""
    link: Link = loser.link  # type: ignore[assignment]
    hub.announce(link, owner.entry)
    refusal = frames.Refusal(Code.TAKEN_OVER, str(owner.name), count=0)
    here, there = loser.entry.number, owner.entry.number
    link.send(frames.encode(Kind.REFUSED, refusal, destination=here, source=there))


def unregister(hub: Hub, frame: Frame, link: Link) -> None:
    """UNREGISTER: give an agent's name back."""
    agent = _agent(frame, link)
    number = agent.entry.number
    presence = hub.router.unregister(agent)
    link.give_up(number)
    _ok(link, frame)
    hub.tell(presence)


def subscribe(hub: Hub, frame: Frame, link: Link) -> None:
    """SUBSCRIBE: to a type or topic, or as an observer to `org/ns/*`."""
    agent = _agent(frame, link)
    text = _name(frame)
    held = hub.router.counts(link).subscriptions
    limit = hub.admission.limits.subscriptions_per_connection
    if text.endswith("*"):
        pattern = names.parse_pattern(text)
        _check_scope(link.principal.permits_pattern("observe", pattern), f"observe {pattern}")
        if pattern not in agent.observing:
            hub.admission.check_room(held, limit, Code.TOO_MANY_SUBSCRIPTIONS)
            _check_quota(hub, agent)
        hub.router.observe(agent, pattern)
        _ok(link, frame)
        return
    topic = names.parse_type(text)
    _check_scope(link.principal.permits("subscribe", topic), f"subscribe {topic}")
    if topic not in agent.entries:
        hub.admission.check_room(held, limit, Code.TOO_MANY_SUBSCRIPTIONS)
        _check_quota(hub, agent)
    presence = hub.router.subscribe(agent, topic)
    link.stay_home(frame.source, agent.entries[topic].number)
    _ok(link, frame)
    hub.tell(presence)


def _check_scope(permitted: bool, what: str) -> None:
    if not permitted:
        raise Refused(Code.NOT_PERMITTED, f"the scopes of the token do not allow to {what}")


def _check_quota(hub: Hub, agent: Agent) -> None:
    organization = agent.name.organization
    hub.quotas.check_subscriptions(organization, hub.router.usage(organization).subscriptions)


def unsubscribe(hub: Hub, frame: Frame, link: Link) -> None:
    """UNSUBSCRIBE: undo it."""
    agent = _agent(frame, link)
    text = _name(frame)
    if text.endswith("*"):
        hub.router.unobserve(agent, names.parse_pattern(text))
        _ok(link, frame)
        return
    presence = hub.router.unsubscribe(agent, names.parse_type(text))
    _ok(link, frame)
    hub.tell(presence)


def open_(hub: Hub, frame: Frame, link: Link) -> None:
    """OPEN: the handle of a name, if the agent may send there."""
    agent = _agent(frame, link)
    name, may = names.parse(_name(frame)), link.principal.permits
    _check_scope(may("publish", name) or may("request", name), f"publish {name}")
    entry = hub.router.pin(agent, name)
    number = entry.number
    if number in link.opened:
        hub.router.unpin(entry)  # one pin for each link is enough
    else:
        try:
            limit = hub.admission.limits.handles_per_connection
            hub.admission.check_room(len(link.opened), limit, Code.TOO_MANY_HANDLES)
        except Refused:
            hub.router.unpin(entry)
            raise
        link.opened[number] = entry
    _ok(link, frame, destination=number)


def shut(hub: Hub, frame: Frame, link: Link) -> None:
    """SHUT: give a handle back. One that is not open is no error: it may have died on the way."""
    entry = link.opened.pop(frame.destination, None)
    if entry is not None:
        link.forget_destination(frame.destination)
        hub.router.unpin(entry)


def set_route(hub: Hub, frame: Frame, link: Link) -> None:
    """SET_ROUTE: what matches the pattern and nobody takes goes to `via`, an agent of the same connection."""
    agent = _agent(frame, link)
    route = frames.decode(frame.body, frames.Route)
    pattern, via = names.parse_pattern(route.pattern), names.parse_instance(route.via)
    _check_scope(link.principal.permits_pattern("route", pattern), f"route {pattern}")
    carrier = hub.router.agent(via)
    if carrier is not None and carrier.link is not link:
        # Nobody is made to carry what it did not ask for.
        carrier = None
    if not hub.router.has_route(agent, pattern):
        limit = hub.admission.limits.routes_per_connection
        hub.admission.check_room(hub.router.counts(link).routes, limit, Code.TOO_MANY_ROUTES)
    hub.router.set_route(agent, pattern, carrier)
    _ok(link, frame)


def remove_route(hub: Hub, frame: Frame, link: Link) -> None:
    """REMOVE_ROUTE: undo it."""
    hub.router.remove_route(_agent(frame, link), names.parse_pattern(_name(frame)))
    _ok(link, frame)


def watch(hub: Hub, frame: Frame, link: Link) -> None:
    """WATCH: who is there now, as far as one frame holds it, then the others, then who joins and leaves."""
    agent = _agent(frame, link)
    topic = names.parse_type(_name(frame))
    _check_scope(link.principal.permits("watch", topic), f"watch {topic}")
    if topic not in agent.watches:
        limit = hub.admission.limits.watches_per_connection
        hub.admission.check_room(hub.router.counts(link).watches, limit, Code.TOO_MANY_WATCHES)
    present = hub.router.watch(agent, topic)
    head, rest = present[:NAMES_IN_ONE_FRAME], present[NAMES_IN_ONE_FRAME:]
    _ok(link, frame, body=frames.Present([str(name) for name in head]))
    hub.tell([Presence(link, agent, name, True) for name in rest])


def unwatch(hub: Hub, frame: Frame, link: Link) -> None:
    """UNWATCH: undo it."""
    hub.router.unwatch(_agent(frame, link), names.parse_type(_name(frame)))
    _ok(link, frame)


def ping(hub: Hub, frame: Frame, link: Link) -> None:
    """PING: say that we are here."""
    link.send(frames.encode(Kind.PONG, id=frame.id))


def pong(hub: Hub, frame: Frame, link: Link) -> None:
    """PONG: that bytes came is all that counts (`lifecycle.py`)."""


def close(hub: Hub, frame: Frame, link: Link) -> None:
    """CLOSE: the peer ends the connection and says why."""
    said = frames.decode(frame.body, frames.Refusal)
    code = code_of(said.code)
    hub.end(link, code, f"by the peer: {said.detail}" if said.detail else "by the peer", say=False)


def _name(frame: Frame) -> str:
    return frames.decode(frame.body, frames.Named).name


def _agent(frame: Frame, link: Link) -> Agent:
    """The agent of this link that the frame speaks for."""
    agent = link.sources.get(frame.source)
    if agent is not None:
        return agent
    if frame.source in link.former_sources:
        raise Refused(Code.NOT_REGISTERED)
    raise Fatal(Code.FOREIGN_SOURCE, f"handle {frame.source}")


def _ok(link: Link, frame: Frame, *, destination: int = 0, body: Body | None = None) -> None:
    link.send(frames.encode(Kind.OK, body, destination=destination, id=frame.id))


VERBS: dict[Kind, Verb] = {
    Kind.HELLO: hello,
    Kind.REGISTER: register,
    Kind.UNREGISTER: unregister,
    Kind.SUBSCRIBE: subscribe,
    Kind.UNSUBSCRIBE: unsubscribe,
    Kind.OPEN: open_,
    Kind.SHUT: shut,
    Kind.SET_ROUTE: set_route,
    Kind.REMOVE_ROUTE: remove_route,
    Kind.WATCH: watch,
    Kind.UNWATCH: unwatch,
    Kind.AUTHENTICATE: authenticate,
    Kind.PING: ping,
    Kind.PONG: pong,
    Kind.CLOSE: close,
}
