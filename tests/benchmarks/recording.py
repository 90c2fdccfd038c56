"""The log of a saga that really ran, as it is stored."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from saga_es import Saga, SagaEngine, Settings
from saga_es.store.address import open_store
from saga_es.store.encoding import StoredRow
from tests.benchmarks import places
from tests.support.stores import prepare


async def log_of(saga: Saga[Any], given: object, saga_id: str) -> tuple[StoredRow, ...]:
    """Run a saga to its end on a store of its own, and return its events."""
    with places.folder() as folder:
        return await log_on(f"sqlite:///{folder / 'one.db'}", saga, given, saga_id)


async def log_on(address: str, saga: Saga[Any], given: object, saga_id: str) -> tuple[StoredRow, ...]:
    """Do the same on a store that others can read: on PostgreSQL an event says which worker recorded it, too."""
    with closing(open_store(address, migrate=True)) as store:
        async with SagaEngine(address, sagas=[saga], settings=Settings()) as engine:
            await engine.run(saga, given, saga_id=saga_id)
        events = store.read(saga_id)
        append = prepare(store, saga_id, expected_version=0, events=events, summary=None, is_open=False)
        return append.events
