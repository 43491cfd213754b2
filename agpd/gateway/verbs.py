"""The control verbs of the native protocol, one function each (`proto/native.md` section 3).

Each gets the hub, the frame and the link that it came from; it answers with OK, or raises `Refused` before
anything has changed, or `Fatal`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from agpd import names
from agpd.errors import Code, Fatal, Refused, code_of
from agpd.gateway import acts
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
    link.reassembly.limit = link.frame_limit
    welcome = frames.Welcome(
        version,
        hub.identity,
        str(link.principal.speaks_as),
        link.frame_limit,
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
    agent, presence = acts.register(hub, link, name, takeover=_may_take_over(hub, link, name))
    hub.announce(link, agent.entry)
    _ok(link, frame, destination=agent.entry.number)
    hub.tell(presence)


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


def unregister(hub: Hub, frame: Frame, link: Link) -> None:
    """UNREGISTER: give an agent's name back."""
    presence = acts.unregister(hub, link, _agent(frame, link))
    _ok(link, frame)
    hub.tell(presence)


def subscribe(hub: Hub, frame: Frame, link: Link) -> None:
    """SUBSCRIBE: to a type or topic, or as an observer to `org/ns/*`."""
    agent = _agent(frame, link)
    text = _name(frame)
    if text.endswith("*"):
        acts.observe(hub, link, agent, names.parse_pattern(text))
        _ok(link, frame)
        return
    presence = acts.subscribe(hub, link, agent, names.parse_type(text))
    _ok(link, frame)
    hub.tell(presence)


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
    entry = acts.open_name(hub, link, _agent(frame, link), names.parse(_name(frame)))
    _ok(link, frame, destination=entry.number)


def shut(hub: Hub, frame: Frame, link: Link) -> None:
    """SHUT: give a handle back. One that is not open is no error: it may have died on the way."""
    acts.shut(hub, link, frame.destination)


def set_route(hub: Hub, frame: Frame, link: Link) -> None:
    """SET_ROUTE: what matches the pattern and nobody takes goes to `via`, an agent of the same connection."""
    agent = _agent(frame, link)
    route = frames.decode(frame.body, frames.Route)
    pattern, via = names.parse_pattern(route.pattern), names.parse_instance(route.via)
    acts.check_scope(link.principal.permits_pattern("route", pattern), f"route {pattern}")
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
    acts.check_scope(link.principal.permits("watch", topic), f"watch {topic}")
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
