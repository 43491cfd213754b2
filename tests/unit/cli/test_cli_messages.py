"""`agpctl pub`, `sub`, `request` and `watch` against a real gateway, in processes of their own."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import pytest
from scenarios.ctl import Ctl
from scenarios.dev import dev, environment, run

import agpd_client as agp
from agpd.cli import messages
from agpd.cli.lazy import Failure

AGPCTL = ["-c", "from agpd.cli.main import agpctl; agpctl()"]
NAUGHTY = "a\x1b[31mb\nc\r\x9b2J\u202ed\u2028e\x00\x7f"
DEADLINE_S = 15.0


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with dev(tmp_path_factory.mktemp("state")) as environ:
        yield environ


@contextmanager
def started(*arguments: str, env: dict[str, str], ready: str) -> Iterator[subprocess.Popen[str]]:
    """A command that runs, once it has said on standard error that it does."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, *AGPCTL, *arguments], env=env, stdout=pipe, stderr=pipe, text=True
    )
    try:
        assert process.stderr is not None
        assert any(ready in line for line in process.stderr)
        yield process
    finally:
        process.kill()
        process.communicate()


def finish(process: subprocess.Popen[str]) -> str:
    """What it printed, after it ended by itself."""
    assert process.stdout is not None
    text = process.stdout.read()
    assert process.wait(DEADLINE_S) == 0
    return text


def test_a_message_goes_from_shell_to_shell(where: dict[str, str]) -> None:
    with (
        started("sub", "acme/a/chat", "--count", "2", env=where, ready="is subscribed") as text,
        started("sub", "acme/a/chat", "--count", "2", "--json", env=where, ready="is subscribed") as as_json,
    ):
        sent = run(*AGPCTL, "pub", "acme/a/chat", "hello", "--fanout", "all", "--confirm", env=where)
        assert (sent.returncode, sent.stdout) == (0, "put in 2 outboxes\n")
        sent = run(
            *AGPCTL, "pub", "acme/a/chat", "-", "--fanout", "2", "--json", env=where, stdin=NAUGHTY.encode()
        )
        assert json.loads(sent.stdout) == {"instances": 2}
        lines = finish(text).splitlines()
        records = [json.loads(line) for line in finish(as_json).splitlines()]
    assert lines[0].endswith(" -> acme/a/chat  hello")
    assert lines[0].startswith("acme/a/agpctl/")
    assert lines[1].endswith(r"a\x1b[31mb\nc\r\x9b2J\u202ed\u2028e\x00\x7f")
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)
    assert [record["data"] for record in records] == ["hello", NAUGHTY]
    assert records[0]["destination"] == "acme/a/chat"


def test_watch_tells_who_comes_and_goes(where: dict[str, str]) -> None:
    watching = started("watch", "acme/w/worker", "--count", "3", env=where, ready="watching")
    with (
        started("sub", "acme/w/x", "--as", "acme/w/worker", env=where, ready="is subscribed"),
        watching as process,
    ):
        run(*AGPCTL, "pub", "acme/w/x", "1", "--as", "acme/w/worker", env=where)
        there, joined, left = finish(process).splitlines()
    assert there.startswith("joined acme/w/worker/")
    assert joined.startswith("joined acme/w/worker/")
    assert left == joined.replace("joined", "left  ")


def test_watch_as_json(where: dict[str, str]) -> None:
    with started("sub", "acme/v/x", "--as", "acme/v/worker", env=where, ready="is subscribed"):
        done = run(*AGPCTL, "watch", "acme/v/worker", "--count", "1", "--json", env=where)
    record = json.loads(done.stdout)
    assert record["present"] is True
    assert record["name"].startswith("acme/v/worker/")


async def clerk(env: dict[str, str], monkeypatch: pytest.MonkeyPatch, *commands: list[str]) -> list[Any]:
    """What these commands give while an agent answers requests."""
    monkeypatch.setenv("AGPD_STATE_DIR", env["AGPD_STATE_DIR"])
    async with agp.connect(env["AGP_URL"]) as gateway:
        agent = await gateway.create_agent("acme/r/clerk")

        @agent.on_request
        def answer(data: object) -> object:
            if data == "fail":
                raise ValueError(NAUGHTY)
            return {"got": data}

        return [await asyncio.to_thread(run, *AGPCTL, *command, env=env) for command in commands]


async def test_request(where: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    plain, as_json, failed = await clerk(
        where,
        monkeypatch,
        ["request", "acme/r/clerk", "hi"],
        ["request", "acme/r/clerk", "[1, null]", "--content-type", "json", "--json"],
        ["request", "acme/r/clerk", "fail"],
    )
    assert (plain.returncode, plain.stdout) == (0, '{"got":"hi"}\n')
    assert json.loads(as_json.stdout)["data"] == {"got": [1, None]}
    assert (failed.returncode, failed.stdout) == (2, "")
    assert failed.stderr.startswith("Error: ValueError: a?[31mb c")
    assert failed.stderr.rstrip("\n").isprintable()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["pub", "acme/a/nobody", "x"], "NO_ROUTE: nobody is subscribed to the destination"),
        (["request", "acme/a/nobody", "x", "--timeout", "3"], "NO_ROUTE"),
        (["pub", "acme/a", "x"], "('acme/a' has 2 segments, not 3 or 4)"),
        (["pub", "acme/Demo/x", "hi"], "(segment 'Demo' of 'acme/Demo/x')"),
        (["sub", "acme/Demo/*"], "(segment 'Demo' of 'acme/Demo/*')"),
        (["pub", "acme/a/b", "x", "--url", "http://x"], "write agp://host:port"),
        (["pub", "acme/a/b", "x", "--url", "agp+tcp://127.0.0.1:9"], "start one with `agpd dev`"),
        (["pub", "acme/a/b", "{", "--content-type", "json"], "DATA is not JSON"),
        (["pub", "acme/a/b", "x", "--fanout", "0"], "is not all, any, or a number"),
        (["pub", "acme/a/b", "x", "--ca", "/nowhere.pem"], "does not exist"),
        (["sub", "acme/a/b", "--count", "0"], "is not in the range"),
        (["sub", "acme/a/*"], "NOT_PERMITTED"),
    ],
)
def test_errors_are_short_and_name_the_way_out(
    where: dict[str, str], arguments: list[str], problem: str
) -> None:
    done = run(*AGPCTL, *arguments, env=where)
    assert (done.returncode, done.stdout) == (2, "")
    assert problem in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_ctrl_c_ends_quietly(where: dict[str, str]) -> None:
    with started("sub", "acme/a/quiet", env=where, ready="is subscribed") as process:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, out, err) == (130, "", "")


def test_a_reader_that_goes_away_ends_it(where: dict[str, str]) -> None:
    with started("sub", "acme/a/pipe", env=where, ready="is subscribed") as process:
        assert process.stdout is not None
        os.close(os.dup(process.stdout.fileno()))
        process.stdout.close()
        run(*AGPCTL, "pub", "acme/a/pipe", "x", env=where)
        assert process.wait(DEADLINE_S) == 1
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
        process.stdout = None


def test_a_lost_gateway_is_told_and_found_again(tmp_path: Path) -> None:
    from scenarios.process import gateway

    with gateway(tmp_path) as first:
        host, port = first.address
        env = environment(tmp_path, AGP_URL=f"agp+tcp://{host}:{port}")
        with started("sub", "acme/a/b", "--count", "1", env=env, ready="is subscribed") as process:
            assert process.stderr is not None
            first.process.kill()
            assert "connecting again" in process.stderr.readline()
            with gateway(tmp_path, listen={"native": f"{host}:{port}"}):
                assert process.stderr.readline() == "connected again\n"
                run(*AGPCTL, "pub", "acme/a/b", "back", env=env)
                assert finish(process).endswith("back\n")


@pytest.mark.parametrize(
    ("allowed", "about", "name"),
    [
        ("*", "acme/dev/x", "acme/dev/agpctl"),
        ("acme/*", "other/dev/x", "acme/dev/agpctl"),
        ("acme/ops/*", "other/dev/x", "acme/ops/agpctl"),
        ("acme/ops/tool", "other/dev/x", "acme/ops/tool"),
        ("acme/ops/tool/one", "other/dev/x/1", "acme/ops/tool/one"),
    ],
)
def test_whom_it_speaks_as(allowed: str, about: str, name: str) -> None:
    assert messages.own_name(allowed, about) == name


def test_payload() -> None:
    assert messages.payload("a", "text") == "a"
    assert messages.payload('{"a": 1}', "json") == {"a": 1}
    assert messages.payload("a\udcff", "bytes") == b"a\xff"
    with pytest.raises(Failure, match="not UTF-8"):
        messages.payload("a\udcff", "text")


def test_fanout() -> None:
    context, parameter = click.Context(messages.pub), messages.pub.params[0]
    values = [messages._fanout(context, parameter, text) for text in ("all", "any", "7")]
    assert values == [agp.ALL, agp.ANY, 7]


def test_the_context_says_where_the_gateway_is_and_as_whom(admin: Ctl, tmp_path: Path) -> None:
    where = environment(tmp_path) | admin.environ
    admin(
        "pki", "issue", "agent", "acme/context/bot", "--dir", str(admin.state), "--out", str(tmp_path / "bot")
    )
    bot = ["--certificate", str(tmp_path / "bot.pem"), "--key", str(tmp_path / "bot.key")]
    admin(
        "context",
        "add",
        "bot",
        "--gateway",
        admin.contexts.load("dev").gateway,
        *bot,
        "--ca",
        str(admin.state / "ca.pem"),
        "--server",
        admin.server,
    )
    listen = ["sub", "acme/context/chat", "--count", "1", "--json", "--context", "bot"]
    with started(*listen, env=where, ready="is subscribed") as process:
        admin("pub", "acme/context/chat", "hi", "--context", "bot")
        record = json.loads(finish(process))
    assert record["source"].startswith("acme/context/bot/")
    # Without it, the selected one holds; it has a token of acme and no certificate.
    assert "the context acme has no certificate to show" in admin.fails("pub", "acme/context/chat", "hi")
    told = admin.fails("pub", "acme/context/chat", "hi", AGP_URL="agp+tcp://127.0.0.1:9")
    assert "127.0.0.1:9" in told  # what the environment says outranks what is selected


def test_the_contexts_token_is_shown(admin: Ctl) -> None:
    """It allows less than the certificate of development, which may use every name."""
    files = [
        f"--{name}={admin.state / file}"
        for name, file in (("certificate", "agent.pem"), ("key", "agent.key"))
    ]
    admin("context", "add", "acme", "--gateway", admin.contexts.load("dev").gateway, *files)
    ours, theirs = ["pub", "acme/context/nobody", "x"], ["pub", "globex/a/b", "x", "--as", "globex/a/c"]
    assert "NO_ROUTE" in admin.fails(*ours)
    assert "NOT_PERMITTED" in admin.fails(*theirs)
    assert "NO_ROUTE" in admin.fails(*theirs, "--context", "dev")
