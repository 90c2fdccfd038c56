"""What the engine's tests share: a house that engines and clients enter, and ways to wait for what is recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, TypeVar

from pydantic import BaseModel

from saga_es import History, Recorded, SagaClient, SagaEngine, Settings
from saga_es.testing.manual_clock import ManualClock
from tests.support.stores import Place

T = TypeVar("T")
PATIENCE = 60  # real seconds until a test is given up
SOON = timedelta(seconds=30)
QUIET = timedelta(days=4000)
"""How often an engine on a manual clock looks for others' writing: never, or advancing would ring at each look."""
BY_ANN = {"by": "ann", "reason": "as agreed"}


class Trip(BaseModel):
    customer: str
    nights: int = 1


class Flight(BaseModel):
    number: str
    price: Decimal


class Approval(BaseModel):
    by: str


MARIA = Trip(customer="Maria")
KEVIN = Trip(customer="Kevin")


def drive(main: Coroutine[Any, Any, T]) -> T:
    """Run a test's coroutine, with an end to its patience."""

    async def bounded() -> T:
        async with asyncio.timeout(PATIENCE):
            return await main

    return asyncio.run(bounded())


@dataclass(frozen=True)
class House:
    """A store whose tables are made; what enters it has the library's default settings unless told otherwise."""

    place: Place

    @property
    def kind(self) -> str:
        return self.place.kind

    def engine(self, *sagas: Any, **options: Any) -> SagaEngine:
        return SagaEngine(self.place.address, sagas=sagas, **options)

    def client(self, *sagas: Any, **options: Any) -> SagaClient:
        return SagaClient(self.place.address, sagas=sagas, **options)

    def recorded(self, saga_id: str) -> Sequence[Recorded]:
        """Read a stream through another handle on the store."""
        return self.place.open().read(saga_id)


def on_clock(*sagas: Any, clock: ManualClock, store: str = "memory://", **settings: Any) -> SagaEngine:
    """Return an engine whose time a test moves, with no chance in its delays."""
    return SagaEngine(
        store, sagas=sagas, clock=clock, chance=lambda: 0.5, settings=Settings(poll=QUIET, **settings)
    )


def types(history: History | Sequence[Recorded]) -> list[str]:
    events = history.events if isinstance(history, History) else history
    return [recorded.type for recorded in events]


def told(history: History | Sequence[Recorded], *wanted: str) -> list[dict[str, object]]:
    """Return the data of the events of these types, in the log's order."""
    events = history.events if isinstance(history, History) else history
    return [recorded.event.model_dump(mode="json") for recorded in events if recorded.type in wanted]


async def seen(face: SagaEngine | SagaClient, saga_id: str, event: str, count: int = 1) -> History:
    """Return the history once so many events of a type are in the log."""
    while True:
        history = await face.history(saga_id)
        if types(history).count(event) >= count:
            return history


async def until(condition: Callable[[], object]) -> None:
    """Turn the loop until something holds: a dispatch is in the log a moment before its call is made."""
    while not condition():
        await asyncio.sleep(0)
