"""The settings, their defaults, and what must fit together."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agpd.config import (
    MIB,
    Config,
    ConfigError,
    Grant,
    Limits,
    Listen,
    Log,
    Outbox,
    Tls,
    load,
    origins,
    read,
    split_address,
    to_toml,
    without_passwords,
)
from agpd.names import Pattern

TLS = ("tls.certificate=g.pem", "tls.key=g.key", "tls.ca=ca.pem")


def wrong(match: str, *sets: str) -> None:
    with pytest.raises(ConfigError, match=match) as caught:
        load(None, {}, [*TLS, *sets])
    assert "\n" not in str(caught.value)


def written(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def test_the_defaults_are_those_of_the_threat_model() -> None:
    limits, outbox = Limits(), Outbox()
    assert Listen() == Listen(native="127.0.0.1:7420", plaintext=False, plaintext_anywhere=False)
    assert (limits.frame_limit_bytes, limits.hello_limit_bytes) == (MIB + 16 * 1024, 4096)
    assert (limits.prehandshake_connections, limits.prehandshake_per_ip) == (256, 16)
    assert (limits.tls_handshakes_per_second, limits.tls_handshake_timeout_ms) == (100, 5000)
    assert (limits.ping_interval_ms, limits.ping_misses, limits.subscriptions_per_connection) == (
        30_000,
        2,
        1024,
    )
    assert (outbox.mark_bytes, outbox.limit_bytes, outbox.write_stall_ms) == (MIB, 4 * MIB, 10_000)
    assert not Tls().accept_any_name
    assert Config().grants == ()


def test_tls_needs_its_files() -> None:
    for absent in TLS:
        with pytest.raises(ConfigError, match=f"TLS needs {absent.partition('=')[0]}: make the files with"):
            load(None, {}, [one for one in TLS if one != absent])
    assert load(None, {}, TLS).tls.ca == "ca.pem"


@pytest.mark.parametrize("address", ["127.0.0.1:0", "127.3.2.1:1", "[::1]:7420", "localhost:7420"])
def test_plaintext_on_loopback(address: str) -> None:
    assert load(None, {}, ["listen.plaintext=true", f"listen.native={address}"]).listen.native == address


@pytest.mark.parametrize(
    "address",
    ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "example.org:1", "[::ffff:192.0.2.1]:1", "localhost.evil:1"],
)
def test_plaintext_elsewhere_must_be_asked_for_twice(address: str) -> None:
    sets = ["listen.plaintext=true", f"listen.native={address}"]
    with pytest.raises(ConfigError, match=r"or set listen.plaintext_anywhere = true"):
        load(None, {}, sets)
    assert load(None, {}, [*sets, "listen.plaintext_anywhere=true"]).listen.native == address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:7420", ("127.0.0.1", 7420)),
        ("[fe80::1%eth0]:65535", ("fe80::1%eth0", 65535)),
        ("gateway.example:0", ("gateway.example", 0)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert split_address(text) == address


@pytest.mark.parametrize(
    "text", ["", "7420", ":7420", "a:", "a:65536", "a:-1", "a:٣", "::1:7420", "a b:1", "a\u00a0b:1", "a:1\n"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ConfigError, match=r"write host:port, such as 127.0.0.1:7420"):
        split_address(text)


@pytest.mark.parametrize(
    ("flag", "match"),
    [
        ("tls.tenant_cas={ Acme = 'x' }", "tls.tenant_cas: segment 'Acme'"),
        ("tls.tenant_cas={ acme = '' }", "tls.tenant_cas: acme has no CA file"),
        ("grants=[{subject='a', verb='watch', object='b/*'}]", r"grants\[0\].subject: 'a' ends neither"),
        (
            "grants=[{subject='a/*', verb='watch', object='B/*'}]",
            r"grants\[0\].object: segment 'B' of 'B/\*'; write",
        ),
    ],
)
def test_grants_and_tenants_follow_the_grammar(flag: str, match: str) -> None:
    wrong(match, flag)


@pytest.mark.parametrize(
    ("sets", "match"),
    [
        (
            ["limits.prehandshake_per_ip=300"],
            "limits.prehandshake_per_ip = 300 is above limits.prehandshake_connections",
        ),
        (["limits.hello_limit_bytes=64KiB", "limits.frame_limit_bytes=32KiB"], "the hello is a frame"),
        (
            ["outbox.limit_bytes=1MiB"],
            "the longest frame must fit into an outbox: lower one or raise the other",
        ),
        (["outbox.mark_bytes=5MiB"], "outbox.mark_bytes = 5242880 is above outbox.limit_bytes = 4194304"),
        (["outbox.stall_budget_ms=11s"], "a pause ends before the connection is cut"),
        (["outbox.budget_bytes=1MiB"], "the budget holds at least one full outbox"),
        (["limits.frame_limit_bytes=5MiB"], "Expected `int` <= 4210688"),
    ],
)
def test_limits_that_contradict_each_other(sets: list[str], match: str) -> None:
    wrong(match, *sets)


CONTROL = ["listen.plaintext=true", "control.enabled=true"]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("listen.http=here", "listen.http = 'here' is no address"),
        ("listen.http=0.0.0.0:7421", "plaintext on 0.0.0.0"),
        ("listen.http=127.0.0.1:7420", "listen.http = '127.0.0.1:7420' is that of listen.native"),
        ("listen.grpc=127.0.0.1:7421", "is that of listen"),
        ("control.public_url=gateway.example", "write https://host"),
        ("control.public_url=https://gateway.example/agpd", "without a path"),
        ("control.public_url=https://gateway.example/", "without a path"),
        ("control.public_url=https://a@gateway.example", "write https://host"),
    ],
)
def test_addresses_of_the_control_plane_are_checked_when_it_runs(setting: str, words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        load(None, {}, [*CONTROL, setting])
    if setting.startswith("listen.http"):
        load(None, {}, ["listen.plaintext=true", setting])  # control: without it that is not used


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("listen.grpc=here", "listen.grpc = 'here' is no address"),
        ("listen.grpc=0.0.0.0:46357", "plaintext on 0.0.0.0"),
        ("listen.grpc=127.0.0.1:7420", "listen.grpc = '127.0.0.1:7420' is that of listen.native"),
    ],
)
def test_the_address_of_grpc_is_checked_always(setting: str, words: str) -> None:
    wrong(re.escape(words), "listen.plaintext=true", setting)
    load(None, {}, ["listen.plaintext=true", "listen.grpc="])


def test_the_control_plane_may_listen_nowhere_and_everywhere() -> None:
    load(None, {}, [*CONTROL, "listen.http=", "listen.grpc="])
    load(None, {}, [*CONTROL, "listen.http=127.0.0.1:0", "listen.grpc=127.0.0.1:0"])
    load(None, {}, [*CONTROL, "control.public_url=https://gateway.example:7421"])
    load(None, {}, [*CONTROL, "control.public_url=http://[::1]:7421"])


def test_limits_may_be_equal_and_the_budget_absent() -> None:
    equal = ["outbox.mark_bytes=2MiB", "outbox.limit_bytes=2MiB", "limits.frame_limit_bytes=2MiB"]
    load(None, {}, [*TLS, *equal, "outbox.budget_bytes=2MiB"])
    load(None, {}, [*TLS, *equal, "outbox.budget_bytes=0"])


def test_the_largest_frame_holds_a_payload_of_4_mib() -> None:
    largest = ["limits.frame_limit_bytes=4112KiB", "outbox.limit_bytes=8MiB"]
    assert load(None, {}, [*TLS, *largest]).limits.frame_limit_bytes == 4 * MIB + 16 * 1024


def test_a_grant_gives_its_patterns() -> None:
    grant = Grant(subject="acme/*", verb="publish", object="globex/sales/orders")
    assert grant.patterns() == (Pattern(("acme",)), Pattern(("globex", "sales", "orders")))


words = st.text("abc/.-_ é\"'\\#=", max_size=12)
patterns = st.sampled_from(["*", "acme/*", "acme/docs/*", "acme/docs/writer"])
configs = st.builds(
    Config,
    listen=st.builds(
        Listen, native=st.just("[::1]:1"), plaintext=st.just(True), plaintext_anywhere=st.booleans()
    ),
    tls=st.builds(
        Tls,
        certificate=words,
        key=words,
        reload_check_s=st.floats(0.1, 3600),
        tenant_cas=st.dictionaries(
            st.from_regex(r"[a-z0-9]{1,5}", fullmatch=True), words.filter(bool), max_size=3
        ),
    ),
    limits=st.builds(Limits, connections=st.integers(1, 10**7), watches_per_connection=st.integers(0, 9)),
    outbox=st.builds(Outbox, limit_bytes=st.integers(2 * MIB, 1024 * MIB)),
    log=st.builds(Log, level=st.sampled_from(["debug", "error"])),
    grants=st.lists(
        st.builds(Grant, subject=patterns, verb=st.sampled_from(["publish", "watch"]), object=patterns),
        max_size=3,
    ).map(tuple),
)


@given(configs)
def test_what_is_printed_reads_back_as_the_same(
    tmp_path_factory: pytest.TempPathFactory, config: Config
) -> None:
    file = written(tmp_path_factory.getbasetemp() / "printed.toml", to_toml(config))
    assert load(file, {}, []) == config


def test_the_configuration_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Config().limits.connections = 1  # type: ignore[misc]


def test_origins_name_every_setting() -> None:
    places = origins(None, {}, ["log.level=debug"])
    assert places.pop("log.level") == "--set log.level"
    assert set(places.values()) == {"default"}
    assert "limits.ping_misses" in places


def test_a_password_of_the_database_does_not_show() -> None:
    config = read(None, {"AGPD_CONTROL__DATABASE": "postgresql://me:hunter2@host/name"}, [])
    assert config.control.database == "postgresql://me:hunter2@host/name"
    shown = repr(config) + repr(config.control) + to_toml(without_passwords(config))
    assert "hunter2" not in shown
    assert shown.count("postgresql://me:***@host/name") == 3
