"""How an instance gets its certificate and the prekeys of its type from the key daemon. `proto/e2e.md` section 10.

The request is the data of a first message with the flag ENROL, which proves that the new keys are held; the name is its
source. The answer brings a certificate and a grant. Secrets travel only in there, or within a session.
"""

from collections.abc import Sequence
from typing import NamedTuple

from agpd.crypto import hazmat, layout, prekeys, vouch
from agpd.crypto.errors import Malformed
from agpd.crypto.handshake import Identity
from agpd.crypto.layout import Reader
from agpd.crypto.prekeys import Prekey, Ring
from agpd.crypto.vouch import Chain

RENEWAL_LABEL = b"agpd-renw-v1"
TICKET_BYTES = 32
_BY_TICKET, _BY_RENEWAL = 1, 2
GRANT_LIMIT = 64


class Request(NamedTuple):
    """Why the key daemon should vouch: a ticket that the tenant has handed out, or the certificate so far."""

    ticket: bytes
    chain: Chain | None
    signature: bytes

    def __repr__(self) -> str:
        return "<enrolment request, not shown>"

    def check_renewal(self, name: str, signing: bytes, exchange: bytes, known: bytes) -> None:
        """Was the renewal signed with the key so far, `known`? Raises `UntrustedKey(SIGNATURE)`."""
        hazmat.verify(known, RENEWAL_LABEL, layout.name(name) + signing + exchange, self.signature)


def ask_with_ticket(ticket: bytes) -> bytes:
    """The request of an instance that has just started."""
    if len(ticket) != TICKET_BYTES:
        raise ValueError(f"a ticket has {TICKET_BYTES} bytes")
    return layout.number(layout.VERSION, 1) + layout.number(_BY_TICKET, 1) + ticket


def ask_for_renewal(before: Identity, after: Identity) -> bytes:
    """The request of an instance whose certificate ends, for the same name and new keys."""
    assert before.chain is not None, "only who has a certificate renews it"
    body = layout.name(after.name) + after.signing.public + after.exchange.public
    signature = before.signing.sign(RENEWAL_LABEL, body)
    return b"".join(
        (layout.number(layout.VERSION, 1), layout.number(_BY_RENEWAL, 1), before.chain.raw, signature)
    )


def parse_request(data: bytes) -> Request:
    """Raises `Malformed`."""
    reader = Reader(data)
    reader.version()
    how = reader.number(1)
    if how == _BY_TICKET:
        request = Request(reader.take(TICKET_BYTES), None, b"")
    elif how == _BY_RENEWAL:
        request = Request(b"", vouch.read_chain(reader), reader.take(hazmat.SIGNATURE_BYTES))
    else:
        raise Malformed("an unknown way to enrol")
    reader.done()
    return request


class Grant(NamedTuple):
    """What the key daemon gives. Nothing in it is proved yet.

    `withdrawn_s`, if not 0: an instance was removed then, and what is created a minute later must not be sealed to an
    older prekey than these.
    """

    chain: Chain | None
    prekeys: list[Prekey]
    withdrawn_s: int

    def check(self, type_name: str, signer: bytes) -> None:
        """Are the prekeys those of this type, signed by its key? Raises `UntrustedKey`."""
        for prekey in self.prekeys:
            prekeys.check_granted(prekey, type_name, signer)

    def apply(self, ring: Ring) -> None:
        """Hold them, after `check`."""
        for prekey in self.prekeys:
            ring.add(prekey)
            if self.withdrawn_s:
                ring.retire(prekey.bundle.kind, prekey.bundle.epoch, self.withdrawn_s)


def pack_grant(chain: Chain | None, granted: Sequence[Prekey], withdrawn_s: int = 0) -> bytes:
    """DANGER: a certificate, if there is a new one, and prekeys with their private parts. To be sealed."""
    return b"".join(
        (
            layout.number(layout.VERSION, 1),
            layout.number(0 if chain is None else 1, 1),
            b"" if chain is None else chain.raw,
            layout.number(withdrawn_s, 8),
            layout.number(len(granted), 1),
            *(each.pack() for each in granted),
        )
    )


def parse_grant(data: bytes) -> Grant:
    """What `pack_grant` packed. Raises `Malformed`."""
    reader = Reader(data)
    reader.version()
    has_chain = reader.number(1)
    if has_chain > 1:
        raise Malformed("a grant of unknown shape")
    chain = vouch.read_chain(reader) if has_chain else None
    withdrawn_s, count = reader.number(8), reader.number(1)
    if count > GRANT_LIMIT:
        raise Malformed("too many prekeys in a grant")
    granted = [prekeys.unpack(reader) for _ in range(count)]
    reader.done()
    return Grant(chain, granted, withdrawn_s)
