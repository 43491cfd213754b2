"""Any request to the live server that schemathesis can think of: no fault, and answers as the document says.

Run alone it makes as many cases as it is told: `python tests/scenarios/api_fuzz.py 20000`.
"""

import asyncio
import contextlib
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import schemathesis
import uvloop
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scenarios.control_world import control_world

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    negative_data_rejection,
]
STREAMS = {"watchAgents"}


@contextlib.contextmanager
def served(directory: Path) -> Iterator[tuple[str, str]]:
    """A gateway on a loop of its own thread; its URL, and a token of an operator."""
    ready: threading.Event = threading.Event()
    found: list[Any] = []

    async def serve() -> None:
        async with control_world(
            directory, plaintext=True, requests_per_second=1_000_000, access_token_life_s=900
        ) as world:
            await world.tenant("acme")
            await world.tenant("agpd")
            shown = await world.client("agpd.op", "agpd", "agpd/*", admin=True)
            token = await world.token("agpd", shown, "agp:admin")
            end = asyncio.Event()
            found.extend((world.url, token, asyncio.get_running_loop(), end))
            ready.set()
            await end.wait()

    thread = threading.Thread(target=lambda: uvloop.run(serve()))
    thread.start()
    assert ready.wait(30)
    url, token, loop, end = found
    try:
        yield url, token
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(30)


def sender(token: str, name: str, seen: Counter[tuple[str, int]]) -> Callable[[Any], None]:
    """What sends one case, judges the answer and counts its status."""

    def send(case: Any) -> None:
        case.headers["authorization"] = f"Bearer {token}"
        response = case.call()
        seen[name, response.status_code] += 1
        case.validate_response(response, checks=CHECKS)

    return send


def fuzz(url: str, token: str, cases: int) -> Counter[tuple[str, int]]:
    """So many cases spread over all operations; operation and status -> how often. Raises what is wrong."""
    schema = schemathesis.openapi.from_url(f"{url}/v1/openapi.json")
    schema.config.generation.update(with_security_parameters=False)
    operations = [found.ok() for found in schema.get_all_operations()]
    operations = [one for one in operations if one.definition.raw["operationId"] not in STREAMS]
    each, seen = -(-cases // len(operations)), Counter[tuple[str, int]]()
    for operation in operations:
        name = operation.definition.raw["operationId"]

        send = sender(token, name, seen)
        examples = settings(
            max_examples=each,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate],
        )
        modes = [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE]
        for mode in modes:
            strategy = operation.as_strategy(generation_mode=mode)
            with contextlib.suppress(Unsatisfiable):  # there is nothing that could be wrong with some
                examples(given(strategy)(send))()
    return seen


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory, served(Path(directory)) as (url, token):
        seen = fuzz(url, token, int(sys.argv[1]) // 2)
    by_status = Counter[int]()
    for (_, status), count in seen.items():
        by_status[status] += count
    print(f"{by_status.total()} cases", dict(sorted(by_status.items())))
