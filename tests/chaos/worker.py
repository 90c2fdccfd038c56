"""A worker: an engine that enters as soon as it may: python -m tests.chaos.worker STORE SOCKET SEED SAGAS

It says "in" when it has entered; SIGTERM lets it leave in order.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from datetime import timedelta
from pathlib import Path

from saga_es import SagaEngine, Settings
from saga_es.errors import StoreInUse, StoreUnavailable
from tests.chaos.plans import Calls, sagas

SETTINGS = Settings(max_in_flight=100, step_timeout=timedelta(seconds=10), drain=timedelta(seconds=1))


async def main(store: str, socket: Path, seed: int, count: int) -> None:
    leaving = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, leaving.set)
    known = sagas(seed, count, Calls(socket, os.getpid()))
    while not leaving.is_set():
        try:
            async with SagaEngine(store, sagas=known, settings=SETTINGS):
                print("in", flush=True)
                await leaving.wait()
        except (StoreInUse, StoreUnavailable):  # another is at work: stand by
            await asyncio.sleep(random.uniform(0.02, 0.2))  # noqa: S311 - any will do


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
