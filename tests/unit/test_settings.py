"""Where settings come from, and how a wrong name or source is answered."""

import itertools
import re
from pathlib import Path

import pytest

from agpd.config import (
    KINDS,
    MIB,
    Config,
    ConfigError,
    Grant,
    Limits,
    Log,
    Outbox,
    load,
    origins,
    read,
    to_toml,
)

TLS = ("tls.certificate=g.pem", "tls.key=g.key", "tls.ca=ca.pem")


def wrong(match: str, *sets: str, file: Path | None = None, environ: dict[str, str] | None = None) -> None:
    with pytest.raises(ConfigError, match=match) as caught:
        load(file, environ or {}, [*TLS, *sets])
    assert "\n" not in str(caught.value)


def written(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def test_later_sources_outrank_earlier_ones(tmp_path: Path) -> None:
    file = written(
        tmp_path / "agpd.toml",
        "[limits]\nping_misses = 3\nconnections = 7\nroutes_per_connection = 1\n[log]\nlevel = 'debug'",
    )
    environ = {"AGPD_LIMITS__CONNECTIONS": "8", "AGPD_LIMITS__ROUTES_PER_CONNECTION": "2", "HOME": "/root"}
    sets = ["limits.routes_per_connection=3", "limits.routes_per_connection=4"]
    config = read(file, environ, sets)
    assert config.limits == Limits(ping_misses=3, connections=8, routes_per_connection=4)
    assert config.log == Log(level="debug")
    places = origins(file, environ, sets)
    assert places["limits.ping_misses"] == str(file)
    assert places["limits.connections"] == "environment variable AGPD_LIMITS__CONNECTIONS"
    assert places["limits.routes_per_connection"] == "--set limits.routes_per_connection"
    assert places["limits.ping_interval_ms"] == places["grants"] == "default"
    assert places.keys() == KINDS.keys()


def test_a_file_may_use_units_and_numbers(tmp_path: Path) -> None:
    text = "[outbox]\nmark_bytes = '2MiB'\nwrite_stall_ms = '20s'\nlimit_bytes = 8388608\n"
    text += "[tls]\nreload_check_s = 7\n"
    config = read(written(tmp_path / "a.toml", text), {}, [])
    assert config.outbox == Outbox(mark_bytes=2 * MIB, write_stall_ms=20_000, limit_bytes=8 * MIB)
    assert config.tls.reload_check_s == 7.0


@pytest.mark.parametrize(
    ("flag", "match"),
    [
        ("tls.kye=x", r"--set tls.kye: unknown setting 'kye' in \[tls\]; did you mean 'key'\?"),
        ("tsl.key=x", r"unknown section \[tsl\]; did you mean 'tls'\?"),
        (
            "qqq.key=x",
            r"unknown section \[qqq\]; known are agp, control, grants, grpc, limits, listen, log, outbox, tls",
        ),
        ("limits.mark_bytes=1", r"unknown setting 'mark_bytes' in \[limits\]; it belongs to \[outbox\]"),
        ("native=x", r"unknown setting or section 'native'; it belongs to \[listen\]"),
        ("log.qqqqqq=x", "known are format, level"),
        ("tls.tenant_cas.acme=x", r"unknown section \[tls.tenant_cas\]"),
        ("limits.connections", r"--set limits.connections: write it as section.setting=value"),
    ],
)
def test_a_wrong_name_is_told_the_nearest(flag: str, match: str) -> None:
    wrong(match, flag)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[tls]\nkye = 'x'", r"agpd.toml: unknown setting 'kye' in \[tls\]; did you mean 'key'\?"),
        ("[tsl]\nkey = 'x'", r"agpd.toml: unknown setting or section 'tsl'; did you mean 'tls'\?"),
        ("native = 'x'", r"agpd.toml: unknown setting or section 'native'; it belongs to \[listen\]"),
        ("tls = 'x'", r"agpd.toml: 'tls' is a section; write \[tls\]"),
        ("[tls]\nkey = 3", r"agpd.toml: tls.key = 3 is wrong: Expected `str`, got `int`"),
        ("[tls]\nkey = x", r"agpd.toml is not a TOML file: .*line 2"),
        ("[limits]\nconnections = " + "9" * 5000, "agpd.toml is not a TOML file"),
        ("[tls]\nreload_check_s = nan", "Expected `float` >= 0.1"),
        ("[tls]\nreload_check_s = inf", "Expected `float` <= 3600"),
        ("[tls]\nkey = '" + "x" * 300 + "'\nca = [" + "1," * 300 + "]", r"tls.ca = \[1, 1.*\.\.\. is wrong"),
    ],
)
def test_a_wrong_file_is_named_with_the_way_out(tmp_path: Path, text: str, match: str) -> None:
    wrong(match, file=written(tmp_path / "agpd.toml", text))


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    wrong(
        "cannot read .*absent.toml: No such file or directory; name a file with --config",
        file=tmp_path / "absent.toml",
    )
    wrong("cannot read .*: Is a directory", file=tmp_path)
    (tmp_path / "latin.toml").write_bytes(b"# \xff")
    wrong("latin.toml is not a TOML file", file=tmp_path / "latin.toml")


def test_environment_variables_that_only_look_like_settings() -> None:
    wrong("AGPD_TLS__CLR: unknown setting 'clr' in \\[tls\\]; did you mean", environ={"AGPD_TLS__CLR": "x"})
    wrong("AGPD_TLS_CRL: did you mean AGPD_TLS__CRL", environ={"AGPD_TLS_CRL": "crl.pem"})
    assert load(None, {"AGPD_URL": "agp://x", "agpd_tls__kye": "x"}, TLS) == load(None, {}, TLS)


def test_the_commented_file_changes_nothing_until_a_line_is_edited(tmp_path: Path) -> None:
    text = to_toml(Config(), commented=True)
    assert read(written(tmp_path / "a.toml", text), {}, []) == Config()
    edited = re.sub("^#(level = ).*", r'\1"error"', text, flags=re.MULTILINE)
    assert read(written(tmp_path / "b.toml", edited), {}, []) == Config(log=Log(level="error"))


def test_every_setting_and_section_has_its_sentence() -> None:
    lines = to_toml(Config(grants=(Grant(subject="a/*", verb="watch", object="b/*"),))).splitlines()
    for above, line in itertools.pairwise(lines):
        if (
            re.match(r"\[\w|\w+ = ", line)
            and above != "[[grants]]"
            and not above.startswith(("subject", "verb"))
        ):
            assert re.match(r"# [A-Z].*[.]$", above), (above, line)


def test_grants_are_tables_of_the_file(tmp_path: Path) -> None:
    text = "[[grants]]\nsubject = 'a/*'\nverb = 'watch'\nobject = 'b/*'\n" * 2
    grant = Grant(subject="a/*", verb="watch", object="b/*")
    assert read(written(tmp_path / "a.toml", text), {}, []).grants == (grant, grant)
