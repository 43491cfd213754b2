"""The dialects that agents speak, and the instances by which an agent of another dialect than ours is known.

The instance of such an agent begins with the dialect's prefix, and no native agent has one that does: so the name of a
sender tells its dialect, at any time, and what travels beside the payload of such a sender was made by the gateway.
"""

import enum

from agpd.names import Name
from agpd.routing.connections import SEPARATE_INSTANCE


class Dialect(enum.IntEnum):
    """Numbers are those of the first byte of `Envelope.carried`."""

    NATIVE = 0
    AGP = 1
    SLIM = 2


# What SLIM clients say to each other can be read by nobody else, and is not passed on to others.
SLIM = "slim-"  # of types that are hashed as SLIM does it
PREFIXES = {Dialect.AGP: "agp-", Dialect.SLIM: SEPARATE_INSTANCE}


def dialect_of(name: Name) -> Dialect:
    """Whose instance it is. A type belongs to all."""
    for dialect, prefix in PREFIXES.items():
        if name.instance.startswith(prefix):
            return dialect
    return Dialect.NATIVE
