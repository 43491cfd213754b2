"""The agent in JavaScript of examples/node-agent, with itself and with clients in Python."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gateways
import pytest
from lab import Lab, fresh
from scenarios.process import World
from tolerances import asked_again
from wheels import absent

from bench.environments import Absent, call

EXAMPLE = Path(__file__).parents[2] / "examples/node-agent"
DEADLINE_S = 20.0


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    """What package-lock.json says, and nothing else."""
    if shutil.which("npm") is None:
        absent("no npm: install Node.js")
    marker, lock = EXAMPLE / "node_modules/.package-lock.json", EXAMPLE / "package-lock.json"
    if marker.exists() and marker.stat().st_mtime > lock.stat().st_mtime:
        return
    try:
        call(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(EXAMPLE)])
    except Absent as error:
        absent(f"the packages of the example cannot be installed: {error}")


def node(*arguments: str, **environment: str) -> str:
    """What a program of the example prints; it must end well."""
    done = subprocess.run(
        ["node", *arguments],
        cwd=EXAMPLE,
        env=_environment(environment),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _environment(more: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("AGP_")} | more


@contextmanager
def shouter(name: str, **environment: str) -> Iterator[int]:
    """A running shouter; gives its number."""
    process = subprocess.Popen(
        ["node", "shouter.js", name],
        cwd=EXAMPLE,
        env=_environment(environment),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        found = re.search(r"listens as number (\d+)", process.stdout.readline())
        assert found
        yield int(found[1])
        process.terminate()
        assert process.wait(DEADLINE_S) == 0
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture
def address(lab: Lab) -> str:
    return lab.endpoint.removeprefix("http://")


def test_its_own_tests_pass() -> None:
    assert "# fail 0" in node("--test", "--test-reporter=tap")


def test_nothing_says_from_where_its_packages_are_downloaded() -> None:
    assert "resolved" not in (EXAMPLE / "package-lock.json").read_text()


def test_one_asks_the_other(lab: Lab, address: str) -> None:
    name = fresh("shouter")
    with shouter(name, AGP_ADDRESS=address) as number:
        lab.join().until_answered(name, number)
        said = node("asker.js", name, AGP_ADDRESS=address)
    assert said == "answer: HOW ARE YOU\ntold: GOOD TO HEAR\n"


def test_it_answers_clients_in_python(lab: Lab, address: str) -> None:
    name = fresh("shouter")
    with shouter(name, AGP_ADDRESS=address) as number:
        lab.join().until_answered(name, number)
        asker = lab.join(loop="high")
        asker.route(name)
        requests = asker.session("request_response", timeout_s=1.0)
        assert asked_again(asker, requests, "hello", name) == "HELLO"
        reliable = lab.join()
        reliable.tell("hello again", name)
        assert reliable.take()[0].text == "HELLO AGAIN"


def test_it_asks_clients_in_python(lab: Lab, address: str) -> None:
    clerk = lab.join(name=fresh("clerk"))
    clerk.answer_all()
    assert node("asker.js", clerk.name, AGP_ADDRESS=address) == "answer: HOW ARE YOU\ntold: GOOD TO HEAR\n"


def test_over_tls_with_a_certificate(tmp_path: Path) -> None:
    world = World(tmp_path / "pki")
    pair = world.issue("acme/*", "acme")
    with gateways.agpd(tmp_path, world) as running:
        where = {
            "AGP_ADDRESS": running.address.replace("127.0.0.1", "localhost"),
            "AGP_CA": str(world.directory / "ca.pem"),
            "AGP_CERTIFICATE": str(pair.certificate),
            "AGP_KEY": str(pair.key),
        }
        name = "acme/demo/secure"
        with shouter(name, **where):
            assert node("asker.js", name, **where) == "answer: HOW ARE YOU\ntold: GOOD TO HEAR\n"
        running.stop()


def test_it_comes_back_after_a_crash_of_the_gateway(lab: Lab, tmp_path: Path) -> None:
    port, name = gateways.free_port(), fresh("shouter")
    with gateways.agpd(tmp_path, port=port) as first, shouter(name, AGP_ADDRESS=first.address) as number:
        first.process.process.kill()
        first.process.process.wait()
        with gateways.agpd(tmp_path, port=port) as second:
            lab.at(second.url).join().until_answered(name, number)
            lab.leave_all()
