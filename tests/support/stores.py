"""Where a store can be, for the tests that run on each, and events to put there."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from saga_es.model.definition import CompensationDefinition, SagaDefinition, StepDefinition
from saga_es.model.events import Recorded, SagaStarted, StepDispatched, StepSucceeded
from saga_es.model.lifecycle import Ending, SagaStatus
from saga_es.model.summary import SagaSummary
from saga_es.store.address import environment, open_store
from saga_es.store.append import Append
from saga_es.store.application import SagaApplication
from saga_es.store.shards import Shard

NOON = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)
PLAN = SagaDefinition(
    name="trip",
    steps=(
        StepDefinition(
            name="book", title="book it", compensation=CompensationDefinition(name="undo", title="cancel it")
        ),
    ),
    order=("book",),
)


@dataclass
class Place:
    """A place for a store, empty at first; what is opened there is closed at the test's end."""

    kind: str
    address: str | Mapping[str, str]
    stack: ExitStack
    _memory: list[SagaApplication] = field(default_factory=list)

    def open(self, *, migrate: bool | None = True, **more: str) -> SagaApplication:
        """Open the store: another connection, or the same object where it is in memory."""
        if self._memory and not more:
            return self._memory[0]
        env = environment(self.address) if isinstance(self.address, str) else self.address
        store = open_store({**env, **more} if more else self.address, migrate=migrate)
        self.stack.callback(store.close)
        if self.kind == "memory":
            self._memory.append(store)
        return store


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with ExitStack() as stack:
        yield place_of(str(request.param), request.getfixturevalue, tmp_path, stack)


@pytest.fixture(params=["sqlite", "postgresql"])
def shared_place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A place that several processes can share."""
    with ExitStack() as stack:
        yield place_of(str(request.param), request.getfixturevalue, tmp_path, stack)


def place_of(kind: str, fixture: Callable[[str], str], folder: Path, stack: ExitStack) -> Place:
    match kind:
        case "memory":
            return Place(kind, "memory://", stack)
        case "sqlite":
            return Place(kind, f"sqlite:///{folder}/sagas.db", stack)
        case _:
            schema = f"store_{secrets.token_hex(4)}"
            return Place(kind, {**environment(fixture("postgres_dsn")), "POSTGRES_SCHEMA": schema}, stack)


@pytest.fixture
def store(place: Place) -> SagaApplication:
    return place.open()


def history(count: int, *, at: datetime = NOON) -> tuple[Recorded, ...]:
    """Return events 1 to ``count`` of a saga, one second apart."""
    events = [
        SagaStarted(definition="trip", definition_version=1, digest=PLAN.digest, input={"customer": "Maria"})
    ]
    for n in range(1, count):
        key = f"trip-42/book-{n}/action/1"
        events.append(
            StepDispatched(step=f"book-{n}", attempt=1, key=key, deadline=None)
            if n % 2
            else StepSucceeded(step=f"book-{n - 1}", attempt=1, result={"seat": "12A", "überraschung": None})
        )
    return tuple(
        Recorded(n, type(event).__name__, at + timedelta(seconds=n), event, {})
        for n, event in enumerate(events, 1)
    )


def events_of(store: SagaApplication, saga_ids: Sequence[str]) -> dict[str, tuple[Recorded, ...]]:
    return {saga_id: stream.events() for saga_id, stream in store.streams(saga_ids).items()}


def summary(saga_id: str, **fields: object) -> SagaSummary:
    values: dict[str, object] = {
        "definition": "trip",
        "definition_version": 1,
        "status": SagaStatus.RUNNING,
        "ending": None,
        "parked": None,
        "started_at": NOON,
        "changed_at": NOON,
    }
    return SagaSummary(saga_id=saga_id, **{**values, **fields})


def prepare(
    store: SagaApplication,
    saga_id: str,
    *,
    expected_version: int,
    events: Sequence[Recorded],
    summary: SagaSummary | None,
    is_open: bool,
    shard: Shard | None = None,
    epoch: int | None = None,
    claims: tuple[int, ...] = (),
) -> Append:
    """Return an append of recorded events, each decided at an instant of its own, whatever version it says."""
    rows = [
        row
        for place, (_, _, at, event, metadata) in enumerate(events)
        for row in store.encode(saga_id, expected_version + place, [event], at, metadata)
    ]
    return Append(saga_id, expected_version, tuple(rows), summary, is_open, shard, epoch, claims)


def put(
    store: SagaApplication, saga_id: str, events: Sequence[Recorded], *, is_open: bool = True, **row: object
):
    """Append events, beginning where the first of them says, with an index row."""
    append = prepare(
        store,
        saga_id,
        expected_version=events[0].version - 1,
        events=events,
        summary=summary(saga_id, **row),
        is_open=is_open,
    )
    store.append([append])
    return append


ENDED = {"status": SagaStatus.SUCCEEDED, "ending": Ending.SUCCEEDED}
