"""Every setting of the gateway: name with its unit, type, default, one sentence.

Values come from defaults < TOML file < environment (`AGPD_TLS__KEY=...`) < flags (`--set tls.key=...`).
The example file and the reference page are written from the classes below by `scripts/reference.py`.
"""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from agpd import settings
from agpd.errors import ConfigError, Refused
from agpd.names import Pattern, parse_pattern
from agpd.values import hide_password

__all__ = [
    "Config",
    "ConfigError",
    "Grant",
    "check",
    "load",
    "origins",
    "read",
    "split_address",
    "to_toml",
    "without_passwords",
]

KIB = 1024
MIB = 1024 * KIB
# Beside a payload, a frame carries its prefix and the header of its envelope.
FRAME_OVERHEAD_BYTES = 16 * KIB

Count = Annotated[int, Meta(ge=1, le=10_000_000)]
Quota = Annotated[int, Meta(ge=0, le=10_000_000)]
Milliseconds = Annotated[int, Meta(ge=1, le=86_400_000)]


def _says(sentence: str) -> Meta:
    return Meta(description=sentence)


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings that belong together; its docstring heads the section wherever it is printed."""


class Listen(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the gateway listens."""

    native: Annotated[str, _says("Address of the native protocol: host:port, or [host]:port for IPv6.")] = (
        "127.0.0.1:7420"
    )
    grpc: Annotated[str, _says("Address of everything that is served over gRPC. Empty: nothing is.")] = (
        "127.0.0.1:46357"
    )
    http: Annotated[
        str, _says("Address of OAuth 2.0, REST and health over HTTP; only with control.enabled. Empty: none.")
    ] = "127.0.0.1:7421"
    plaintext: Annotated[bool, _says("Listen without TLS: no encryption, and anyone may use any name.")] = (
        False
    )
    plaintext_anywhere: Annotated[bool, _says("Allow plaintext on an address that is not loopback.")] = False
    workers: Annotated[
        int,
        Meta(ge=1, le=64),
        _says("Processes that carry connections; from 2 on, one more routes. Default: one process for both."),
    ] = 1


class Tls(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Certificates, all PEM files; relative paths start at the working directory. Empty: not set."""

    certificate: Annotated[str, _says("The gateway's certificate, followed by its intermediates.")] = ""
    key: Annotated[str, _says("The private key of the gateway's certificate.")] = ""
    ca: Annotated[
        str, _says("Authorities that client certificates must come from; one file, any number.")
    ] = ""
    crl: Annotated[
        str, _says("Revoked client certificates; once its nextUpdate has passed, all are refused.")
    ] = ""
    reload_check_s: Annotated[
        float, Meta(ge=0.1, le=3600), _says("How often the files above are looked at for a newer version.")
    ] = 5.0
    accept_any_name: Annotated[
        bool, _says("Accept certificates for agp://*, whose holder may use any name; for development.")
    ] = False
    tenant_cas: Annotated[
        dict[str, str],
        _says("Organization to CA file: its names must be certified by that CA, others are refused."),
    ] = {}


class Limits(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What connections may cost."""

    connections: Annotated[Count, _says("Connections held at once.")] = 20_000
    prehandshake_connections: Annotated[Count, _says("Connections whose TLS handshake is not finished.")] = (
        256
    )
    prehandshake_per_ip: Annotated[Count, _says("The same, from one IP address.")] = 16
    tls_handshakes_per_second: Annotated[
        Count, _says("TLS handshakes begun in a second; more have to wait.")
    ] = 100
    tls_handshake_timeout_ms: Annotated[Milliseconds, _says("Time to finish the TLS handshake.")] = 5000
    hello_timeout_ms: Annotated[Milliseconds, _says("Time from there to the complete first frame.")] = 5000
    hello_limit_bytes: Annotated[
        int,
        Meta(ge=512, le=64 * KIB),
        _says("Longest first frame, the only one read before the session stands."),
    ] = 4 * KIB
    frame_limit_bytes: Annotated[
        int,
        Meta(ge=FRAME_OVERHEAD_BYTES, le=4 * MIB + FRAME_OVERHEAD_BYTES),
        _says("Longest frame; 16 KiB above the largest payload."),
    ] = MIB + FRAME_OVERHEAD_BYTES
    frame_timeout_ms: Annotated[Milliseconds, _says("Time to finish a frame that was begun.")] = 30_000
    ping_interval_ms: Annotated[Milliseconds, _says("Time between two pings.")] = 30_000
    ping_misses: Annotated[
        int, Meta(ge=1, le=100), _says("Pings in a row without an answer that end the connection.")
    ] = 2
    agents_per_connection: Annotated[Count, _says("Agents registered on one connection.")] = 1024
    subscriptions_per_connection: Annotated[Quota, _says("Subscriptions held by one connection.")] = 1024
    handles_per_connection: Annotated[Count, _says("Names that one connection may hold open.")] = 4096
    flows_per_connection: Annotated[Count, _says("Pairs of source and destination one connection uses.")] = (
        65_536
    )
    routes_per_connection: Annotated[Quota, _says("Routes set by one connection.")] = 64
    watches_per_connection: Annotated[Quota, _says("Types watched by one connection.")] = 64
    drain_timeout_ms: Annotated[
        Milliseconds, _says("Time to deliver what was accepted when shutting down.")
    ] = 30_000
    linger_timeout_ms: Annotated[
        Milliseconds, _says("Time for a peer to take the closing frame before the connection is cut.")
    ] = 2000


class Outbox(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a slow receiver may cost: bytes queued for one connection."""

    mark_bytes: Annotated[
        int,
        Meta(ge=4 * KIB, le=1024 * MIB),
        _says("From here on its producers are paused, for a bounded time."),
    ] = MIB
    limit_bytes: Annotated[
        int, Meta(ge=4 * KIB, le=1024 * MIB), _says("From here on messages for it are dropped or refused.")
    ] = 4 * MIB
    stall_budget_ms: Annotated[Milliseconds, _says("Longest pause of a producer for a slow receiver.")] = 500
    write_stall_ms: Annotated[
        Milliseconds, _says("A connection that takes nothing for this long is cut.")
    ] = 10_000
    budget_bytes: Annotated[
        int,
        Meta(ge=0, le=2**50),
        _says(
            "All outboxes, unfinished frames and what is kept of senders that wait, together; "
            "0: a quarter of the memory it may use (cgroup or machine)."
        ),
    ] = 0


class Grpc(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What connections and calls of gRPC may cost."""

    connections: Annotated[
        Count,
        _says("Connections of gRPC held at once; limits.connections bounds them together with all others."),
    ] = 5000
    streams_per_connection: Annotated[
        int, Meta(ge=1, le=1000), _says("Calls under way on one connection.")
    ] = 100
    message_limit_bytes: Annotated[
        int, Meta(ge=4 * KIB, le=64 * MIB), _says("Longest message of a client; a longer one ends its call.")
    ] = 5 * MIB
    header_limit_bytes: Annotated[
        int, Meta(ge=1 * KIB, le=MIB), _says("Longest metadata of a call, 32 bytes added for each entry.")
    ] = 16 * KIB
    stream_window_bytes: Annotated[
        int,
        Meta(ge=64 * KIB, le=64 * MIB),
        _says("What a client may send on one call before it is taken from it (flow control of HTTP/2)."),
    ] = 512 * KIB
    connection_window_bytes: Annotated[
        int, Meta(ge=64 * KIB, le=256 * MIB), _says("The same for all calls of one connection together.")
    ] = 4 * MIB
    connection_memory_bytes: Annotated[
        int,
        Meta(ge=4 * KIB, le=1024 * MIB),
        _says("Unfinished messages of one connection together; the call that goes above it ends."),
    ] = 16 * MIB
    keepalive_interval_ms: Annotated[
        Milliseconds, _says("A connection that has been silent for so long is pinged.")
    ] = 30_000
    keepalive_timeout_ms: Annotated[Milliseconds, _says("A ping without answer for so long cuts it.")] = (
        20_000
    )
    idle_timeout_ms: Annotated[Milliseconds, _says("A connection without calls for so long is closed.")] = (
        300_000
    )


class Agp(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What clients of AGP and SLIM are given."""

    broadcast_fanouts: Annotated[
        tuple[Annotated[int, Meta(ge=0, le=0xFFFF_FFFF)], ...],
        _says(
            "Fan-outs that reach everybody beside 0: what the sessions of these clients write when they mean all."
        ),
    ] = (50, 256)
    metadata_limit_bytes: Annotated[
        int, Meta(ge=0, le=8 * KIB), _says("Longest metadata of a message; a message with more is dropped.")
    ] = 8 * KIB


class Grant(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Permits `subject` to do `verb` to `object`, both patterns such as `org/*` or `org/ns/type`."""

    subject: Annotated[str, _says("Who: a pattern of agent names.")]
    verb: Annotated[Literal["publish", "subscribe", "observe", "watch"], _says("What they may do.")]
    object: Annotated[str, _says("To whom: a pattern of names.")]

    def patterns(self) -> tuple[Pattern, Pattern]:
        """Subject and object, parsed. Raises `Refused(INVALID_NAME)`."""
        return parse_pattern(self.subject), parse_pattern(self.object)


class Control(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The control plane: tenants, registration, discovery, tokens, grants."""

    enabled: Annotated[
        bool, _says("Run the control plane; without it, certificates and [[grants]] decide.")
    ] = False
    database: Annotated[
        str,
        _says(
            "URL of the database: sqlite:///path, or postgresql://user@host/name (its password: PGPASSFILE). "
            "Empty: control.db below control.state_directory."
        ),
    ] = ""
    state_directory: Annotated[
        str, _says("Where the database and the key that seals signing keys are kept. Empty: the user's own.")
    ] = ""
    public_url: Annotated[
        str,
        _says("How clients reach listen.http, such as https://gateway.example:7421. Empty: as it listens."),
    ] = ""
    require_token: Annotated[
        bool, _says("Agents need an access token beside their certificate to register a name.")
    ] = False
    access_token_life_s: Annotated[
        int, Meta(ge=300, le=900), _says("How long an access token holds, in seconds.")
    ] = 600
    refresh_token_life_s: Annotated[
        int, Meta(ge=600, le=31_536_000), _says("How long a refresh token holds, in seconds.")
    ] = 2_592_000
    signing_key_life_s: Annotated[
        int,
        Meta(ge=3600, le=31_536_000),
        _says("After so many seconds a tenant's tokens get a new signing key."),
    ] = 2_592_000
    signing_algorithm: Annotated[
        Literal["Ed25519", "ES256"], _says("What new signing keys are made for.")
    ] = "Ed25519"
    instance_life_s: Annotated[
        int,
        Meta(ge=5, le=86_400),
        _says("A registered instance that says nothing for so many seconds is gone."),
    ] = 60
    page_limit: Annotated[Count, _says("Most items in one answer.")] = 500
    watchers: Annotated[
        Count, _says("Watchers of the registry at once; of one organization at most half as many.")
    ] = 1000
    request_limit_bytes: Annotated[
        int, Meta(ge=4 * KIB, le=16 * MIB), _says("Longest request of the HTTP and gRPC interfaces.")
    ] = MIB
    requests_per_second: Annotated[
        Count,
        _says("Requests that are served to one caller in a second, on average; bursts of twice as many."),
    ] = 2000
    unauthenticated_per_second: Annotated[
        Count, _says("Failed authentications that one address may make in a second, on average.")
    ] = 20

    def __repr__(self) -> str:
        shown = msgspec.structs.asdict(self) | {"database": hide_password(self.database)}
        return f"Control({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


class Log(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the gateway tells about itself, on standard error."""

    level: Annotated[Literal["debug", "info", "warning", "error"], _says("Least important events shown.")] = (
        "info"
    )
    format: Annotated[Literal["text", "json"], _says("Lines for people, or one JSON object per line.")] = (
        "text"
    )


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole configuration."""

    listen: Listen = msgspec.field(default_factory=Listen)
    tls: Tls = msgspec.field(default_factory=Tls)
    limits: Limits = msgspec.field(default_factory=Limits)
    outbox: Outbox = msgspec.field(default_factory=Outbox)
    grpc: Grpc = msgspec.field(default_factory=Grpc)
    agp: Agp = msgspec.field(default_factory=Agp)
    control: Control = msgspec.field(default_factory=Control)
    log: Log = msgspec.field(default_factory=Log)
    grants: Annotated[
        tuple[Grant, ...],
        _says(
            "What may cross between organizations; nothing else does. "
            "Inside one, only `observe` needs a grant."
        ),
    ] = ()


KINDS = settings.kinds_of(Config)
_BASE_URL = re.compile(r"https?://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::[0-9]{1,5})?\Z")
_ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.%a-z]+)\]|([^\s\[\]:/]+)):([0-9]{1,5})\Z")


def load(file: Path | None, environ: Mapping[str, str], sets: Sequence[str]) -> Config:
    """The configuration a gateway can start with. Raises `ConfigError`."""
    config = read(file, environ, sets)
    check(config)
    return config


def read(file: Path | None, environ: Mapping[str, str], sets: Sequence[str]) -> Config:
    """The same without `check`: each value is right by itself. `sets` are texts `section.setting=value`."""
    given = settings.gather(KINDS, file, environ, sets)
    values: dict[str, dict[str, Any]] = {"": {}}
    for name, (value, _) in given.items():
        section, _, key = name.rpartition(".")
        values.setdefault(section, {})[key] = value
    parts = values.pop("")
    parts |= {name: Config.__annotations__[name](**inner) for name, inner in values.items()}
    return Config(**parts)


def without_passwords(config: Config) -> Config:
    """The configuration as it may be shown."""
    control = msgspec.structs.replace(config.control, database=hide_password(config.control.database))
    return msgspec.structs.replace(config, control=control)


def to_toml(config: Config, *, commented: bool = False) -> str:
    """The configuration as a TOML file that reads back as the same, a sentence above each setting.

    `commented` puts `#` before every value: a file that changes nothing until a line is edited.
    """
    return settings.to_toml(KINDS, config, commented=commented)


def origins(file: Path | None, environ: Mapping[str, str], sets: Sequence[str]) -> dict[str, str]:
    """Setting -> where its value came from: "default", the file, the environment variable or the flag."""
    given = settings.gather(KINDS, file, environ, sets)
    return {name: given[name].origin if name in given else "default" for name in KINDS}


def split_address(text: str, setting: str = "listen.native") -> tuple[str, int]:
    """`host:port` or `[v6]:port` -> host, port; port 0 lets the system choose. Raises `ConfigError`."""
    found = _ADDRESS.match(text)
    if not found or int(found[3]) > 65535:
        raise ConfigError(
            f"{setting} = {text!r} is no address: write host:port, such as 127.0.0.1:7420 or [::1]:7420; "
            "0.0.0.0:7420 is every IPv4 interface"
        )
    return found[1] or found[2], int(found[3])


def is_loopback(host: str) -> bool:
    """Is only this machine behind it? A host name other than localhost is not looked up: no."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check(config: Config) -> None:
    """Settings must fit each other. Raises `ConfigError` that says what to change."""
    _check_listen(config.listen, config.tls, control=config.control.enabled)
    _check_control(config.control)
    _check_limits(config)
    for number, grant in enumerate(config.grants):
        _check_pattern(f"grants[{number}].subject", grant.subject)
        _check_pattern(f"grants[{number}].object", grant.object)
    for organization, file in config.tls.tenant_cas.items():
        _check_pattern("tls.tenant_cas", f"{organization}/*")
        if not file:
            raise ConfigError(f"tls.tenant_cas: {organization} has no CA file; name one, or remove the line")


def _check_pattern(where: str, text: str) -> None:
    try:
        parse_pattern(text)
    except Refused as error:
        raise ConfigError(f"{where}: {error.detail}; write org/*, org/ns/*, org/ns/type or *") from error


def _check_listen(listen: Listen, tls: Tls, *, control: bool) -> None:
    settings = ("native", "grpc", "http") if control else ("native", "grpc")
    hosts: dict[str, str] = {}
    for name in settings:
        address = getattr(listen, name)
        if address or name == "native":
            host, port = split_address(address, f"listen.{name}")
            where = f"{host}:{port}"
            if port and where in hosts:
                raise ConfigError(
                    f"listen.{name} = {address!r} is that of listen.{hosts[where]}: choose another"
                )
            hosts[where] = name
    if listen.plaintext:
        _check_plaintext(listen, settings)
        return
    missing = [f"tls.{name}" for name in ("certificate", "key", "ca") if not getattr(tls, name)]
    if missing:
        raise ConfigError(
            f"TLS needs {', '.join(missing)}: make the files with `agpctl pki`, "
            "try `agpd dev`, which makes its own, or set listen.plaintext = true on loopback"
        )


def _check_plaintext(listen: Listen, settings: Sequence[str]) -> None:
    for name in settings:
        address = getattr(listen, name)
        if not address or listen.plaintext_anywhere:
            continue
        host, _ = split_address(address, f"listen.{name}")
        if not is_loopback(host):
            raise ConfigError(
                f"listen.plaintext on {host} lets everyone who reaches it use any name; listen on 127.0.0.1, "
                "or set listen.plaintext_anywhere = true"
            )


def _check_control(control: Control) -> None:
    """The URL that clients are told must be one, without a path: those of tenants begin behind it."""
    if control.public_url and not _BASE_URL.match(control.public_url):
        raise ConfigError(
            f"control.public_url = {control.public_url!r} is no address of this gateway: write https://host or "
            "https://host:port, without a path"
        )


def _check_limits(config: Config) -> None:
    """Pairs of which the first must not be above the second."""
    for low, high, reason in (
        ("limits.prehandshake_per_ip", "limits.prehandshake_connections", "one address is a part of all"),
        ("limits.hello_limit_bytes", "limits.frame_limit_bytes", "the hello is a frame"),
        ("limits.frame_limit_bytes", "outbox.limit_bytes", "the longest frame must fit into an outbox"),
        ("outbox.mark_bytes", "outbox.limit_bytes", "producers are paused before messages are dropped"),
        ("outbox.stall_budget_ms", "outbox.write_stall_ms", "a pause ends before the connection is cut"),
        ("outbox.limit_bytes", "outbox.budget_bytes", "the budget holds at least one full outbox"),
        ("grpc.stream_window_bytes", "grpc.connection_window_bytes", "a call is a part of its connection"),
        ("grpc.message_limit_bytes", "grpc.connection_memory_bytes", "it holds at least one message"),
    ):
        least, most = (_number(config, name) for name in (low, high))
        if 0 < most < least:  # of these only budget_bytes may be 0: not set
            raise ConfigError(
                f"{low} = {least} is above {high} = {most}, but {reason}: lower one or raise the other"
            )


def _number(config: Config, name: str) -> int:
    section, _, key = name.partition(".")
    number: int = getattr(getattr(config, section), key)
    return number
