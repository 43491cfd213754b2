"""What the registry tells: agents, their running instances, and changes of both. Times are Unix seconds."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

Change = Literal["registered", "changed", "deregistered", "started", "stopped"]


class RegisteredInstance(msgspec.Struct, frozen=True, kw_only=True):
    """A running instance. `name` is its full name, which messages can be sent to."""

    name: str
    since: float
    expires: float


class RegisteredAgent(msgspec.Struct, frozen=True, kw_only=True):
    """A lasting identity under a type, `organization/namespace/type`.

    `card` is what the agent says of itself, such as an A2A card; `public_keys` maps a use to a key (base64).
    """

    type: str
    identity: str
    description: str = ""
    labels: Mapping[str, str] = {}
    capabilities: Sequence[str] = ()
    card: Mapping[str, Any] | None = None
    public_keys: Mapping[str, str] = {}
    created: float = 0.0
    updated: float = 0.0
    instances: Sequence[RegisteredInstance] = ()

    @property
    def is_live(self) -> bool:
        """Was an instance running when this was told?"""
        return bool(self.instances)


class RegistryEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A change of the registry; `agent` is as it is afterwards."""

    kind: Change
    agent: RegisteredAgent
