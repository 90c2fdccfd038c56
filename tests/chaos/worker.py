"""A worker: an engine among others on one store.

It says "in" and its number when it has entered; SIGTERM lets it leave in order.
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
from saga_es.errors import StoreUnavailable
from tests.chaos.plans import Calls, sagas

LEASE = 1.0
"""Seconds."""

SETTINGS = Settings(
    max_in_flight=30,
    step_timeout=timedelta(seconds=10),
    drain=timedelta(seconds=1),
    lease=timedelta(seconds=LEASE),
)


def application_name(pid: int) -> str:
    """Return what the sessions of a worker are called on the server."""
    return f"saga_es-{pid}"


async def main(store: str, socket: Path, seed: int, count: int) -> None:
    leaving = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, leaving.set)
    known = sagas(seed, count, Calls(socket, os.getpid()))
    named = f"{store}?application_name={application_name(os.getpid())}"
    while not leaving.is_set():
        try:
            async with SagaEngine(named, sagas=known, settings=SETTINGS):
                os.write(sys.stdout.fileno(), f"in {os.getpid()}\n".encode())
                await leaving.wait()
        except StoreUnavailable:
            await asyncio.sleep(random.uniform(0.02, 0.2))  # noqa: S311 - any will do
