"""Processes that tests start beside their own: python -m tests.integration.engine_process hold|write STORE"""

from __future__ import annotations

import asyncio
import sys
import time

from saga_es import SagaClient, SagaEngine, define


async def say(word: str) -> str:
    """Begin, and never answer."""
    print(f"asked to say {word}", flush=True)
    await asyncio.get_running_loop().create_future()
    return word


SAYING = define("saying", str).step(say)


async def hold(store: str) -> None:
    """Enter, start a saga whose step never answers, and stay until killed."""
    async with SagaEngine(store, sagas=[SAYING]) as engine:
        await engine.start(SAYING, "hello", saga_id="held")
        await asyncio.get_running_loop().create_future()


async def write(store: str) -> None:
    """Start a saga for each word that comes in; answer with the monotonic time in ns when it was recorded."""
    async with SagaClient(store, sagas=[SAYING]) as client:
        print("ready", flush=True)
        for line in sys.stdin:
            await client.start(SAYING, line.strip(), saga_id=line.strip())
            print(time.monotonic_ns(), flush=True)


if __name__ == "__main__":
    asyncio.run({"hold": hold, "write": write}[sys.argv[1]](sys.argv[2]))
