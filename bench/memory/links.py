"""What a connection costs in the gateway's own objects, without a socket: for numbers that descriptors do not allow.

    python -m bench.memory.links

Each is welcomed and has an agent. Prints bytes of resident memory for each, by number of connections.
"""

import asyncio
import json

from agpd.app import memory_gateway
from agpd.config import Config, Limits, Listen
from bench.inprocess import Bench
from bench.memory.gateway import resident_bytes

LEVELS = (1000, 10_000, 100_000)


async def measure() -> dict[str, int]:
    """Bytes for each connection, by level."""
    config = Config(listen=Listen(plaintext=True), limits=Limits(connections=2 * LEVELS[-1]))
    async with memory_gateway(config) as gateway:
        bench = Bench(gateway, 100)
        result, made, before = {}, 0, resident_bytes()
        for level in LEVELS:
            for number in range(made, level):
                bench.register(bench.link(), f"acme/idle/agent/{number}")
            made = level
            result[str(level)] = round((resident_bytes() - before) / level)
        return result


if __name__ == "__main__":
    print(json.dumps(asyncio.run(measure())))
