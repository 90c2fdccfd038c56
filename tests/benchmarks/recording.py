"""The log of a saga that really ran, as it is stored."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from eventsourcing.persistence import StoredEvent

from saga_es import Saga, SagaEngine
from saga_es.store.address import open_store
from tests.benchmarks import places


async def log_of(saga: Saga[Any], given: object, saga_id: str) -> tuple[StoredEvent, ...]:
    """Run a saga to its end on a store of its own, and return its events."""
    with places.folder() as folder, closing(open_store(address := f"sqlite:///{folder / 'one.db'}")) as store:
        async with SagaEngine(address, sagas=[saga]) as engine:
            await engine.run(saga, given, saga_id=saga_id)
        events = store.read(saga_id)
        append = store.prepare(saga_id, expected_version=0, events=events, summary=None, is_open=False)
        return append.events
