"""One measurement of growth, in a process of its own: its memory at its highest is that one's alone.

It is started with a `Task` as JSON and prints a `Grown` as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass

from saga_es import Outcome, SagaEngine, Settings, define, do
from saga_es.authoring.fluent import Definition
from tests.benchmarks.large_store import Package, Trip
from tests.benchmarks.measuring import run_all
from tests.benchmarks.memory import resident

TRIP = Trip(customer="Maria", nights=7)
WARM = 100
"""Sagas before those that count: connections, caches and statements are there by then."""


@dataclass(frozen=True)
class Task:
    """So many sagas, so many at once.

    Attributes:
        steps: parallel ones of each saga; 0 for the trip, three steps that a large store is filled with.
        per_saga: attempts in flight at once in one saga.
    """

    address: str
    sagas: int
    concurrent: int
    steps: int
    per_saga: int


@dataclass(frozen=True)
class Grown:
    seconds: float
    peak_mb: float


async def book(trip: Trip) -> str:
    return "LIS-GIG"


def parallel(name: str, steps: int) -> Definition[Trip]:
    """Return a saga of so many steps that need nothing of each other and do nothing."""
    return define(name, Trip, steps=[do(book, name=f"step_{number}") for number in range(steps)])


async def measure(task: Task) -> Grown:
    """Warm up, then run the sagas; the seconds are of the latter."""
    warm: Package | Definition[Trip] = Package(lambda: None) if not task.steps else parallel("warm", 10)
    saga = parallel("parallel", task.steps) if task.steps else warm
    settings = settings_of(task.per_saga)
    async with SagaEngine(
        task.address, sagas=[warm] if saga is warm else [warm, saga], settings=settings
    ) as engine:
        await run_all(WARM, once(engine, warm), task.concurrent)
        began = time.perf_counter()
        await run_all(task.sagas, once(engine, saga), task.concurrent)
        return Grown(time.perf_counter() - began, resident()[1])


def once(engine: SagaEngine, saga: Package | Definition[Trip]) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        outcome: Outcome = await engine.run(saga, TRIP)
        if outcome.status != "succeeded":
            raise SystemExit(f"{outcome.saga_id} is {outcome.status}: a saga was lost")

    return run


def settings_of(per_saga: int) -> Settings:
    return Settings(migrate=True, max_in_flight_per_saga=per_saga)


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(measure(Task(**json.loads(sys.argv[1])))))))
