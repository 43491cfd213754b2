"""The loop of a worker: a program under the interpreter of another environment that does what a test tells it.

A command is a line of JSON on standard input, `{"command": 1, "do": "join", ...}`; the rest are the arguments of the
method `join` of the worker's `Commands`. Each runs in a task of its own. Its outcome is a line on standard output:

    RESULT {"command": 1, "value": ...}
    RESULT {"command": 1, "kind": "timeout", "text": "..."}

Clients print errors on standard output, some from threads of their own. So the results have that stream alone: what the
client prints goes to standard error.

This file uses the standard library only, and no other part of the project: it runs where agpd is not installed.
"""

import asyncio
import json
import os
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

MARK = "RESULT "


class Failure(Exception):
    """A command that fails in a way that a test may expect; `kind` is one word."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def run(commands: Callable[[], Any]) -> None:
    """Make the commands on a running loop and serve until standard input ends. Does not return."""
    results = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    asyncio.run(_serve(commands, results))


async def _serve(commands: Callable[[], Any], results: Any) -> None:
    own, lines = commands(), asyncio.Queue()  # type: ignore[var-annotated]
    loop = asyncio.get_running_loop()

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(lines.put_nowait, line)
        loop.call_soon_threadsafe(lines.put_nowait, None)

    threading.Thread(target=read, daemon=True).start()
    tasks = set()
    while (line := await lines.get()) is not None:
        task = asyncio.create_task(_do(own, json.loads(line), results))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    leave(0)


async def _do(own: Any, command: dict[str, Any], results: Any) -> None:
    number, method = command.pop("command"), getattr(own, command.pop("do"))
    try:
        outcome = {"value": await method(**command)}
    except Failure as error:
        outcome = {"kind": error.kind, "text": str(error)}
    except TimeoutError as error:  # of asyncio, and of the clients, whose own kinds derive from it
        outcome = {"kind": "timeout", "text": str(error)}
    except Exception as error:
        traceback.print_exc()
        outcome = {"kind": type(error).__name__, "text": str(error)}
    print(MARK + json.dumps({"command": number, **outcome}), file=results, flush=True)


def leave(code: int) -> None:
    """End now: the runtimes of the clients keep their threads alive."""
    sys.stderr.flush()
    os._exit(code)
