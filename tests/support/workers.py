"""Workers on one PostgreSQL: as the store knows them, and as engines in one process."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from saga_es.model.definition import SagaDefinition
from saga_es.store.append import Append
from saga_es.store.application import SagaApplication
from saga_es.store.crew import Process
from saga_es.store.shards import Lane, Shard, number_of
from tests.support.stores import PLAN, Place, history, place_of, prepare, summary

NEWER = SagaDefinition(name="trip", version=2, steps=PLAN.steps, order=PLAN.order)
OLD, NEW = Lane.of(PLAN), Lane.of(NEWER)
FAR_AWAY = Process(host="far", machine="", pid=1, began="")
HOUR = timedelta(hours=1)


@pytest.fixture
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A place on PostgreSQL, its tables made."""
    with ExitStack() as stack:
        place = place_of("postgresql", request.getfixturevalue, tmp_path, stack)
        place.open()
        yield place


def say(store: SagaApplication, text: str, *values: object) -> list[dict[str, Any]]:
    """Say something to the store's database; the tables have their names in braces."""
    with store.recorder.datastore.get_connection() as connection:
        cursor = connection.execute(store.recorder._say.of(text), values)
        return cursor.fetchall() if cursor.description else []


def join(
    store: SagaApplication,
    worker: str,
    *lanes: Lane,
    lease: timedelta = HOUR,
    process: Process = FAR_AWAY,
) -> bool:
    return store.crew.join(worker, process, lanes or (OLD,), lease)


def claim(
    store: SagaApplication, worker: str, count: int = 256, lane: Lane = OLD, *, dead: Collection[str] = ()
) -> Mapping[Shard, int]:
    """Claim, and return what the worker holds then."""
    store.crew.claim(worker, {lane.key: count}, dead)
    return held(store, worker)


def held(store: SagaApplication, worker: str) -> Mapping[Shard, int]:
    return store.crew.muster(worker).holds


def members(store: SagaApplication) -> list[str]:
    return [it.worker for it in store.crew.muster("").members]


def fall_silent(store: SagaApplication, *workers: str) -> None:
    """Have workers not been heard of for a day."""
    silent = "UPDATE {workers} SET heard_at = heard_at - interval '1 day' WHERE worker = ANY(%s)"
    say(store, silent, list(workers))


def id_in(number: int, prefix: str = "s", *, skip: int = 0) -> str:
    """Return an id of a saga in a shard: the first that is found, or a later one."""
    tried = (f"{prefix}{n}" for n in range(1_000_000))
    found = (saga_id for saga_id in tried if number_of(saga_id) == number)
    return [next(found) for _ in range(skip + 1)][-1]


def next_of(
    store: SagaApplication,
    saga_id: str,
    *,
    epoch: int | None = None,
    claims: tuple[int, ...] = (),
    **row: Any,
) -> Append:
    """Return an append of a saga's next event."""
    version = len(store.read(saga_id))
    return prepare(
        store,
        saga_id,
        expected_version=version,
        events=history(version + 1)[version:],
        summary=summary(saga_id, **row),
        is_open=True,
        shard=Shard.of(PLAN, saga_id),
        epoch=epoch,
        claims=claims,
    )


# -- a store that has owners -------------------------------------------------------------------------

ONE, TWO, THREE = (Shard(OLD.key, number) for number in (1, 2, 3))
A, B, C = (id_in(shard.number) for shard in (ONE, TWO, THREE))
"""A saga of each."""


@pytest.fixture
def store(shared: Place) -> SagaApplication:
    """A store where ann holds all, in epoch 1, and bob nothing."""
    made = shared.open()
    join(made, "ann")
    join(made, "bob")
    claim(made, "ann")
    return made
