"""A value as text, as what its setting demands, and as TOML again."""

import pytest

from agpd.config import MIB, Config, ConfigError, Grant, Outbox, read, to_toml
from agpd.values import hide_password


def wrong(match: str, flag: str) -> None:
    with pytest.raises(ConfigError, match=match) as caught:
        read(None, {}, [flag])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("outbox.mark_bytes=4MiB", 4 * MIB),
        ("outbox.mark_bytes=64 KiB", 65536),
        ("outbox.mark_bytes=5000", 5000),
        ("outbox.mark_bytes=1GiB", 1024 * MIB),
        ("outbox.mark_bytes=4.5KiB", 4608),
        ("outbox.stall_budget_ms=1.5s", 1500),
        ("outbox.stall_budget_ms=250", 250),
        ("outbox.stall_budget_ms=250ms", 250),
        ("outbox.stall_budget_ms=2m", 120_000),
        ("outbox.stall_budget_ms=1h", 3_600_000),
        ("tls.reload_check_s=500ms", 0.5),
        ("tls.reload_check_s=30s", 30.0),
        ("tls.reload_check_s=2", 2.0),
        ("listen.plaintext=true", True),
        ("limits.connections=12", 12),
        ("log.format=json", "json"),
        ("tls.ca=a=b", "a=b"),
        ('tls.tenant_cas={ acme = "acme.pem" }', {"acme": "acme.pem"}),
        (
            'grants=[{subject="a/*", verb="watch", object="b/c/d"}]',
            (Grant(subject="a/*", verb="watch", object="b/c/d"),),
        ),
    ],
)
def test_text_is_read_as_the_setting_demands(flag: str, expected: object) -> None:
    name, _, text = flag.partition("=")
    section, _, key = name.rpartition(".")
    variable = f"AGPD_{section.upper()}__{key.upper()}" if section else f"AGPD_{key.upper()}"
    for config in (read(None, {}, [flag]), read(None, {variable: text}, [])):
        part = getattr(config, section) if section else config
        assert getattr(part, key) == expected
        assert type(getattr(part, key)) is type(expected)


@pytest.mark.parametrize(
    ("flag", "match"),
    [
        ("limits.connections=0", r"limits.connections = 0 is wrong: Expected `int` >= 1"),
        ("limits.connections=many", "'many' is not a whole number"),
        ("limits.connections=1.5", "Expected `int`, got `float`"),
        ("limits.connections=true", "Expected `int`, got `bool`"),
        ("limits.connections=1\nb=2", "more than one value"),
        ("limits.connections=" + "9" * 5000, "is not a whole number"),
        ("listen.plaintext=yes", "'yes' is not true or false"),
        ("listen.plaintext=1", "Expected `bool`, got `int`"),
        ("log.level=loud", "log.level = 'loud' is wrong: Invalid enum value 'loud'"),
        ("outbox.mark_bytes=4MB", "write a number and one of B, KiB, MiB, GiB"),
        ("outbox.mark_bytes=-1", "write a number and one of"),
        ("outbox.mark_bytes=4 4", "write a number and one of"),
        ("outbox.mark_bytes=٤MiB", "write a number and one of"),
        ("outbox.mark_bytes=4096.5", "not a whole number of bytes"),
        ("outbox.stall_budget_ms=0.5ms", "not a whole number of ms"),
        ("outbox.stall_budget_ms=30sec", "write a number and one of ms, s, m, h"),
        ("tls.reload_check_s=nan", "write a number and one of"),
        ("tls.reload_check_s=0", "Expected `float` >= 0.1"),
        ("tls.key=a\udcff", "holds characters that cannot be printed"),
        ('tls.tenant_cas={ acme = "a\\u001b[2J" }', "holds characters that cannot be printed"),
        ("tls.tenant_cas={ acme = 1 }", r"Expected `str`, got `int` - at `tls.tenant_cas\[...\]`"),
        ("tls.tenant_cas=acme", "not a TOML value"),
        ("grants=" + "[" * 10_000, "not a TOML value"),
        ("grants=[{subject='a/*', verb='watch'}]", r"missing required field `object` - at `grants\[0\]`"),
        (
            "grants=[{subject='a/*', verb='eat', object='b/*'}]",
            r"Invalid enum value 'eat' - at `grants\[0\].verb`",
        ),
    ],
)
def test_a_wrong_value_is_named_with_the_way_out(flag: str, match: str) -> None:
    wrong(match, flag)


def test_sizes_are_printed_for_people() -> None:
    text = to_toml(Config(outbox=Outbox(mark_bytes=5000)))
    assert 'frame_limit_bytes = "1040KiB"' in text
    assert 'limit_bytes = "4MiB"' in text
    assert "mark_bytes = 5000" in text
    assert "budget_bytes = 0" in text
    assert "tenant_cas = {}" in text


def test_long_values_are_cut_in_errors() -> None:
    wrong(r"log.level = 'x{76}\.\.\. is wrong", "log.level=" + "x" * 500)


def test_an_empty_and_a_full_table_are_toml() -> None:
    assert "tenant_cas = {}" in to_toml(Config())
    assert 'tenant_cas = { "acme" = "a.pem", "b" = "c" }' in to_toml(
        read(None, {}, ["tls.tenant_cas={acme='a.pem', b='c'}"])
    )


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:hunter2@host/name", "postgresql://me:***@host/name"),
        ("postgresql://me:hun@t/er:2@host/name", "postgresql://me:***@host/name"),
        ("postgresql://:hunter2@host/name", "postgresql://:***@host/name"),
        ("postgresql://host/name?user=me&password=hunter2", "postgresql://host/name?user=me&password=***"),
        (
            "postgresql://host/name?sslPassword=hunter2&user=me",
            "postgresql://host/name?sslPassword=***&user=me",
        ),
        ("postgresql://me@host:5432/name", "postgresql://me@host:5432/name"),
        ("sqlite:////var/lib/agpd/control.db", "sqlite:////var/lib/agpd/control.db"),
    ],
)
def test_the_password_of_a_url_is_hidden(url: str, shown: str) -> None:
    assert hide_password(url) == shown
