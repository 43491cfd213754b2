"""The registry without `await`; see `agpd_client.registry` and `agpd_client.onboarding`."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agpd_client.blocking import Source, call, wait
from agpd_client.errors import AgpError
from agpd_client.registered import RegisteredAgent, RegisteredInstance, RegistryEvent

if TYPE_CHECKING:
    from agpd_client.onboarding import Registration as AsyncRegistration
    from agpd_client.registry import Registry as AsyncRegistry
    from agpd_client.registry import RegistryWatch as AsyncWatch

TIMEOUT_S = 10.0


class Registration:
    """See `agpd_client.Registration`."""

    def __init__(self, inner: "AsyncRegistration") -> None:
        self._inner = inner
        self.agent = inner.agent

    @property
    def instance(self) -> RegisteredInstance:
        """The last answer about the instance."""
        return self._inner.instance

    @property
    def error(self) -> AgpError | None:
        """What has ended the renewing."""
        return self._inner.error

    def close(self) -> None:
        """The instance runs no more."""
        wait(self._inner.close())


class RegistryWatch(Source[RegistryEvent]):
    """See `agpd_client.registry.RegistryWatch`; made open."""

    def __init__(self, inner: "AsyncWatch") -> None:
        self._inner = inner
        wait(inner.open())

    def receive(self, *, timeout: float | None = None) -> RegistryEvent:
        """The next change."""
        return wait(self._inner.receive(timeout=timeout))

    def close(self) -> None:
        """End."""
        wait(self._inner.close())

    def __enter__(self) -> "RegistryWatch":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Registry:
    """See `agpd_client.registry.Registry`."""

    def __init__(self, inner: "AsyncRegistry") -> None:
        self._inner = inner

    def find(
        self,
        *,
        organization: str = "",
        namespace: str = "",
        type: str = "",  # noqa: A002  (the word of the API)
        labels: Mapping[str, str] | None = None,
        capability: str | Sequence[str] = (),
        live: bool = False,
        text: str = "",
        timeout: float = TIMEOUT_S,
    ) -> list[RegisteredAgent]:
        """Agents of which all that is given holds."""
        found = self._inner.find(
            organization=organization,
            namespace=namespace,
            type=type,
            labels=labels,
            capability=capability,
            live=live,
            text=text,
            timeout=timeout,
        )
        return wait(found.all())

    def get(self, type: str, identity: str, *, timeout: float = TIMEOUT_S) -> RegisteredAgent:  # noqa: A002
        """One agent."""
        return wait(self._inner.get(type, identity, timeout=timeout))

    def watch(
        self,
        *,
        organization: str = "",
        namespace: str = "",
        type: str = "",  # noqa: A002  (the word of the API)
        labels: Mapping[str, str] | None = None,
        capability: str | Sequence[str] = (),
        live: bool = False,
        text: str = "",
        timeout: float = TIMEOUT_S,
    ) -> RegistryWatch:
        """Changes of such agents from now on; a context manager and an iterator."""
        watch = wait(
            call(
                self._inner.watch,
                organization=organization,
                namespace=namespace,
                type=type,
                labels=labels,
                capability=capability,
                live=live,
                text=text,
                timeout=timeout,
            )
        )
        return RegistryWatch(watch)

    def register(
        self,
        type: str,  # noqa: A002  (the word of the API)
        identity: str,
        *,
        description: str = "",
        labels: Mapping[str, str] | None = None,
        capabilities: Sequence[str] = (),
        card: Mapping[str, Any] | None = None,
        public_keys: Mapping[str, str] | None = None,
        create: bool = False,
        timeout: float = TIMEOUT_S,
    ) -> RegisteredAgent:
        """Register or replace an agent without running it."""
        return wait(
            self._inner.register(
                type,
                identity,
                description=description,
                labels=labels,
                capabilities=capabilities,
                card=card,
                public_keys=public_keys,
                create=create,
                timeout=timeout,
            )
        )

    def deregister(self, type: str, identity: str, *, timeout: float = TIMEOUT_S) -> None:  # noqa: A002
        """Remove the agent and its instances from the registry."""
        wait(self._inner.deregister(type, identity, timeout=timeout))
