"""`agpctl pki`."""

import subprocess
import sys

import pytest
from click.testing import CliRunner
from cryptography import x509

from agpd.cli.main import agpctl


@pytest.fixture
def run(tmp_path):
    def call(*arguments, code=0):
        result = CliRunner().invoke(agpctl, ["pki", *arguments], env={"AGPCTL_PKI": str(tmp_path / "pki")})
        assert result.exit_code == code, result.output
        return result.output

    return call


@pytest.fixture
def directory(tmp_path, run):
    run("init", "--name", "acme authority")
    return tmp_path / "pki"


def certificate(path):
    return x509.load_pem_x509_certificate(path.read_bytes())


def life_s(loaded):
    return (loaded.not_valid_after_utc - loaded.not_valid_before_utc).total_seconds()


def test_init_makes_an_authority_once(directory, run):
    assert certificate(directory / "ca.pem").subject.rfc4514_string() == "CN=acme authority"
    assert "holds an authority already" in run("init", code=2)


def test_issue_agent_lasts_a_day_and_renews_with_the_same_key(directory, run):
    assert run("issue", "agent", "acme/dev/writer").startswith("issued: ")
    path = directory / "agents" / "acme.dev.writer"
    first = certificate(path.with_suffix(".writer.pem"))
    assert life_s(first) == 86400 + 300
    assert run("issue", "agent", "agp://acme/dev/writer", "--life", "90m").startswith(
        "renewed for the same key: "
    )
    second = certificate(path.with_suffix(".writer.pem"))
    assert second.public_key() == first.public_key()
    assert life_s(second) == 5400 + 300
    assert run("issue", "agent", "acme/dev/writer", "--new-key").startswith("issued: ")


def test_issue_writes_where_it_is_told(directory, run, tmp_path):
    run("issue", "agent", "acme/dev/*", "--out", str(tmp_path / "deep" / "reader"))
    assert (tmp_path / "deep" / "reader.key").stat().st_mode & 0o777 == 0o600
    run("issue", "gateway", "localhost", "127.0.0.1", "--out", str(tmp_path / "gw"))
    names = (
        certificate(tmp_path / "gw.pem").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    )
    assert [str(name.value) for name in names] == ["localhost", "127.0.0.1"]
    (tmp_path / "file").write_text("")
    assert "cannot write" in run(
        "issue", "gateway", "localhost", "--out", str(tmp_path / "file" / "gw"), code=2
    )


def test_a_certificate_for_any_name_is_asked_for_twice(directory, run):
    assert "--any-name" in run("issue", "agent", "*", code=2)
    assert not (directory / "agents").exists()
    run("issue", "agent", "*", "--any-name")
    assert (directory / "agents" / "any.pem").exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("issue", "agent", "acme/dev"), "INVALID_NAME"),
        (("issue", "agent", "acme/dev/writer", "--life", "5y"), "such as 90m, 24h or 30d"),
        (("issue", "gateway", "../../etc/x"), "neither an IP address nor a DNS name"),
        (("issue", "gateway"), "Missing argument"),
        (("revoke", "writer"), "neither a file nor a serial"),
        (("revoke", "abcd"), "issued no certificate with serial abcd"),
        (("show", "/nonexistent"), "cannot read /nonexistent"),
        (("crl", "--dir", "/nonexistent"), "agpctl pki init --dir /nonexistent"),
    ],
)
def test_errors_name_the_fix_and_exit_with_2(directory, run, arguments, text):
    output = run(*arguments, code=2)
    assert text in output
    assert "Traceback" not in output


def test_revoke_takes_a_file_or_a_serial_and_writes_the_list(directory, run):
    run("issue", "agent", "acme/dev/writer", "--out", str(directory / "one"))
    run("issue", "agent", "acme/dev/writer", "--out", str(directory / "two"))
    one, two = (certificate(directory / f"{name}.pem").serial_number for name in ("one", "two"))
    assert "crl.pem" in run("revoke", str(directory / "one.pem"))
    run("revoke", f"0x{two:X}", "--life", "1d")
    crl = x509.load_pem_x509_crl((directory / "crl.pem").read_bytes())
    assert {entry.serial_number for entry in crl} == {one, two}
    assert (crl.next_update_utc - crl.last_update_utc).total_seconds() == 86400 + 300


def test_crl_writes_a_new_list(directory, run):
    before = (directory / "crl.pem").read_bytes()
    assert "it lasts until" in run("crl", "--life", "2d")
    assert (directory / "crl.pem").read_bytes() != before


def test_list_shows_every_serial_in_full_with_its_state(directory, run):
    for name, life in (("writer", "1h"), ("reader", "1h")):
        run("issue", "agent", f"acme/dev/{name}", "--life", life, "--out", str(directory / name))
    run("issue", "gateway", "localhost")
    run("revoke", str(directory / "reader.pem"))
    lines = {line.split()[2]: line for line in run("list").splitlines() if line.count(":") >= 2}
    for name, state in (("writer", "in force"), ("reader", "revoked")):
        line = lines[f"agp://acme/dev/{name}"]
        assert f"{certificate(directory / f'{name}.pem').serial_number:x}" in line
        assert state in line
    assert "gateway" in lines["localhost"]


def test_list_shows_what_has_ended(directory, run, monkeypatch):
    run("issue", "agent", "acme/dev/writer")
    monkeypatch.setattr(
        "agpd.cli.pki.time.time",
        lambda: certificate(directory / "ca.pem").not_valid_after_utc.timestamp() - 60,
    )
    assert "ended" in run("list")


def test_show_says_whom_a_gateway_takes_the_holder_for(directory, run):
    run("issue", "agent", "acme/dev/*", "--out", str(directory / "agent"))
    run("issue", "gateway", "localhost", "--out", str(directory / "gateway"))
    agent, gateway = (run("show", str(directory / f"{name}.pem")) for name in ("agent", "gateway"))
    assert "agent    acme/dev/*" in agent
    assert "clientAuth" in agent
    assert f"{certificate(directory / 'agent.pem').serial_number:x}" in agent
    assert "agent    no: its extended key usage lacks clientAuth" in gateway
    assert "'localhost'" in gateway
    assert "names    none" in run("show", str(directory / "ca.pem"))


def test_the_help_loads_nothing_heavy():
    code = (
        "import sys; from click.testing import CliRunner; from agpd.cli.main import agpctl;"
        "assert CliRunner().invoke(agpctl, ['pki', 'issue', 'agent', '--help']).exit_code == 0;"
        "print([name for name in ('cryptography', 'rich', 'ssl', 'uvloop') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
