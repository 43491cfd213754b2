"""Without the extras: messages pass, and whatever needs an extra says so in one line."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from scenarios.dev import DEADLINE_S, ROOT, environment, run

EXTRAS = (
    "alembic",
    "argon2",
    "asyncpg",
    "google",
    "grpc",
    "h2",
    "httptools",
    "httpx2",
    "joserfc",
    "pydantic",
    "siphash24",
    "sqlalchemy",
)
EXTRAS += ("starlette", "uvicorn", "xxhash", "yaml")
WITHOUT = f"""
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {EXTRAS}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
"""
SERVER = "pip install 'agpd[server]'"


@pytest.fixture
def plain(tmp_path: Path) -> dict[str, str]:
    """The environment of programs that find no extra."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(WITHOUT)
    return environment(tmp_path, PYTHONPATH=os.pathsep.join([str(site), str(ROOT / "client")]))


@pytest.fixture
def gateway(plain: dict[str, str]) -> Iterator[str]:
    """What `agpd dev` says; the environment gets its address."""
    command = [sys.executable, "-m", "agpd", "dev", "--port", "0"]
    with subprocess.Popen(
        command, env=plain, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if "Ctrl-C" in line:
                break
        plain["AGP_URL"] = re.findall("agpd is running at (.*),", said)[0]
        yield said
        process.terminate()
        assert process.wait(DEADLINE_S) == 0


def test_the_first_message_needs_no_extra(gateway: str, plain: dict[str, str], tmp_path: Path) -> None:
    assert [line for line in gateway.splitlines() if SERVER in line] == [
        f"No control plane: it needs `{SERVER}`."
    ]
    assert "Nothing is served over gRPC: it needs `pip install 'agpd[grpc]'`.\n" in gateway
    first = re.findall("```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[0]
    done = run("-c", first, env=plain)
    assert done.stdout.endswith("says hello\n"), done.stderr


@pytest.mark.parametrize(
    ("program", "command"),
    [
        ("agpctl", "get agents"),
        ("agpctl", "login --server https://127.0.0.1:1 --tenant acme --client c"),
        ("agpctl", "apply -f none.yaml"),
        ("agpctl", "audit list"),
        ("agpd", "serve --config agpd.toml"),
        ("agpd", "bootstrap --config agpd.toml"),
        ("agpd", "config check --config agpd.toml"),
    ],
)
def test_what_needs_the_extra_says_so_in_one_line(
    plain: dict[str, str], tmp_path: Path, program: str, command: str
) -> None:
    file = tmp_path / "agpd.toml"
    file.write_text(
        '[listen]\nnative = "127.0.0.1:0"\nplaintext = true\n[limits]\nconnections = 10\n'
        f'[control]\nenabled = true\nstate_directory = "{tmp_path}/state"\n'
    )
    main = f"from agpd.cli.main import {program}; {program}()"
    done = run("-c", main, *command.replace("agpd.toml", str(file)).split(), env=plain)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert SERVER in done.stderr


def test_serving_over_grpc_names_its_own_extra(plain: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "agpd.toml"
    file.write_text('[listen]\nnative = "127.0.0.1:0"\nplaintext = true\n[limits]\nconnections = 10\n')
    done = run("-c", "from agpd.cli.main import agpd; agpd()", "serve", "--config", str(file), env=plain)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "pip install 'agpd[grpc]'" in done.stderr
    assert "listen.grpc = ''" in done.stderr


def test_a_shell_that_completes_a_line_hears_nothing_of_it(plain: dict[str, str]) -> None:
    completing = {"_AGPCTL_COMPLETE": "bash_complete", "COMP_WORDS": "agpctl get ", "COMP_CWORD": "2"}
    main = "from agpd.cli.main import agpctl; agpctl(prog_name='agpctl')"
    done = run("-c", main, env=plain | completing)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_registry_names_its_own_extra(gateway: str, plain: dict[str, str]) -> None:
    program = """
import agpd_client as agp
async def main():
    async with agp.connect() as gateway:
        try:
            gateway.registry
        except agp.NotInstalled as error:
            print(error)
agp.run(main())
"""
    done = run("-c", program, env=plain | {"AGP_CONTROL": "127.0.0.1:1"})
    assert "pip install 'agpd[registry]'" in done.stdout, done.stderr
    assert len(done.stdout.splitlines()) == 1
