"""A tenant in memory: its root, its key daemon, agents, and a gateway that carries bytes. No clock, no true chance."""

import hashlib
from collections.abc import Callable

from agpd.crypto import enrolment, hazmat, prekeys, vouch
from agpd.crypto.handshake import Identity
from agpd.crypto.headers import ENROL, Padding, Purpose
from agpd.crypto.issuing import Issuer
from agpd.crypto.keys import SigningKey
from agpd.crypto.prekeys import CLASSICAL, Ring
from agpd.crypto.sealing import Endpoint
from agpd.crypto.session import Opened
from agpd.crypto.trust import DEFAULT_AGES, Ages, Trust
from agpd.crypto.vouch import Certificate

START_S = 1_790_000_000
DAY_S = 86400


class Seeded:
    """Bytes that follow from a seed. Also encapsulates, by the true ML-KEM."""

    def __init__(self, seed: object) -> None:
        self._seed = repr(seed).encode()
        self._count = 0

    def __call__(self, size: int) -> bytes:
        self._count += 1
        return hashlib.shake_256(self._seed + self._count.to_bytes(8, "big")).digest(size)


class World:
    """Organizations by name, agents, and the time, which stands unless it is moved."""

    def __init__(self, seed: object = 0, suite: int = CLASSICAL, now_s: int = START_S) -> None:
        self.chance = Seeded(seed)
        self.suite = suite
        self.now_s = now_s
        self.roots: dict[str, SigningKey] = {}
        self.issuers: dict[str, Issuer] = {}
        self.agents: list[Endpoint] = []
        self.ids = 0

    @property
    def now_ms(self) -> int:
        return self.now_s * 1000

    def next_id(self) -> int:
        self.ids += 1
        return self.ids

    def certify_type(self, name: str, key: SigningKey) -> Certificate:
        root = self.roots[name.partition("/")[0]]
        return vouch.issue_type(
            root, name, key.public, self.chance(16), self.now_s - 60, self.now_s - 60 + 90 * DAY_S
        )

    def organization(self, name: str = "acme") -> Issuer:
        if name not in self.issuers:
            self.roots[name] = SigningKey.generate(self.chance)
            key = SigningKey.generate(self.chance)
            certificate = self.certify_type(f"{name}/system/agp-keyd", key)
            self.issuers[name] = Issuer(key, certificate, self.chance)
        return self.issuers[name]

    def type(self, name: str, mailbox_s: int = 0) -> Issuer:
        issuer = self.organization(name.partition("/")[0])
        try:
            issuer.granted(name, False)
        except Exception:
            key = SigningKey.generate(self.chance)
            issuer.add_type(key, self.certify_type(name, key), self.suite, mailbox_s)
            issuer.rotate(name, self.now_s)
            issuer.publish(self.now_s)
        return issuer

    def trust(self, organization: str, ages: Ages = DEFAULT_AGES) -> Trust:
        issuer = self.organization(organization)
        if issuer.update is None:
            issuer.publish(self.now_s)
        trust = Trust(organization, self.roots[organization].public, ages)
        trust.install(issuer.since(0), self.now_s)
        return trust

    def agent(
        self,
        name: str,
        *,
        with_mail: bool = False,
        padding: Padding = Padding.BLOCK,
        ages: Ages = DEFAULT_AGES,
        chance: Callable[[int], bytes] | None = None,
        mailbox_s: int = 0,
    ) -> Endpoint:
        """An enrolled instance that holds the prekeys of its type."""
        type_name = name.rpartition("/")[0]
        issuer = self.type(type_name, mailbox_s)
        identity = Identity.generate(name, self.chance)
        identity.chain = issuer.vouch(name, identity.signing.public, identity.exchange.public, self.now_s)
        trust = self.trust(name.partition("/")[0], ages)
        ring = Ring()
        for prekey in issuer.granted(type_name, with_mail):
            ring.add(prekeys.unpack(prekeys.Reader(prekey.pack())))
        endpoint = Endpoint(
            identity,
            trust,
            ring,
            started_ms=self.now_ms,
            chance=chance or self.chance,
            padding=padding,
        )
        self.agents.append(endpoint)
        return endpoint

    def refresh(self) -> None:
        """Everybody gets the newest directories, and the prekeys of its type."""
        for endpoint in self.agents:
            organization = endpoint.name.partition("/")[0]
            issuer = self.issuers[organization]
            endpoint.trust.install(issuer.since(endpoint.trust.log(organization).version), self.now_s)
            for prekey in issuer.granted(endpoint.type_name, False):
                endpoint.ring.add(prekeys.unpack(prekeys.Reader(prekey.pack())))

    def publish(self) -> None:
        for issuer in self.issuers.values():
            issuer.publish(self.now_s)
        self.refresh()

    # Flows

    def first(self, sender: Endpoint, to: str, data: bytes, **more: object) -> bytes:
        """Sealed to the type of `to`."""
        kind = more.pop("kind", prekeys.TYPE)
        type_name = to if to.count("/") == 2 else to.rpartition("/")[0]
        bundle = sender.trust.type_prekey(type_name, kind, self.now_s)  # type: ignore[arg-type]
        id_ = more.pop("id", None) or self.next_id()
        return sender.first(to, bundle, data, id=id_, now_ms=self.now_ms, **more)  # type: ignore[arg-type]

    def open(self, receiver: Endpoint, wire: bytes, **more: str) -> Opened:
        return receiver.open(wire, now_ms=self.now_ms, **more)

    def answer(self, receiver: Endpoint, opened: Opened, data: bytes = b"") -> bytes:
        assert opened.contact is not None
        return receiver.answer(opened.contact, data, id=self.next_id(), now_ms=self.now_ms)

    def connect(self, one: Endpoint, other: Endpoint) -> None:
        """A session of these two, begun by `one` and confirmed."""
        opened = self.open(other, self.first(one, other.name, b"", purpose=Purpose.REKEY))
        self.open(one, self.answer(other, opened))
        self.open(other, self.seal(one, other, b"hello"))

    def seal(self, sender: Endpoint, receiver: Endpoint, data: bytes, **more: object) -> bytes:
        return sender.seal(receiver.name, data, id=self.next_id(), now_ms=self.now_ms, **more)  # type: ignore[arg-type]

    def keyd(self, organization: str = "acme") -> Endpoint:
        """The key daemon's own agent, which enrols others."""
        name = f"{organization}/system/agp-keyd"
        issuer = self.organization(organization)
        if not issuer.granted(name, False):
            issuer.rotate(name, self.now_s)
            issuer.publish(self.now_s)
        agent = self.agent(f"{name}/0")
        self.agents.remove(agent)
        return Endpoint(
            agent.identity, agent.trust, agent.ring, started_ms=self.now_ms, chance=self.chance, enrols=True
        )

    def newcomer(self, name: str) -> Endpoint:
        """An instance that has keys, the root, and nobody to vouch for it."""
        self.type(name.rpartition("/")[0])
        trust = self.trust(name.partition("/")[0])
        identity = Identity.generate(name, self.chance)
        return Endpoint(identity, trust, Ring(), started_ms=self.now_ms, chance=self.chance)

    def enrol(self, newcomer: Endpoint, keyd: Endpoint, ticket: bytes) -> bytes:
        """The first message with which it asks."""
        return self.first(newcomer, keyd.type_name, enrolment.ask_with_ticket(ticket), flags=ENROL)


def frozen_encapsulation(ciphertext: bytes, shared: bytes) -> Callable[[bytes], tuple[bytes, bytes]]:
    """Gives what was recorded: ML-KEM's own chance cannot be handed in."""
    return lambda _: (shared, ciphertext)


__all__ = ["START_S", "Seeded", "World", "frozen_encapsulation", "hazmat"]
