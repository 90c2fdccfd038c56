"""Replay, from stored bytes to state: ours against `eventsourcing`'s repository on as many events."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

from saga_es.model.definition import SagaDefinition
from saga_es.model.events import Recorded
from saga_es.model.state import replay
from saga_es.store.address import open_store
from tests.benchmarks.measuring import Figures, Ratio, Run, run_for
from tests.benchmarks.peers import HandWritten
from tests.benchmarks.places import Place
from tests.benchmarks.plans import fan_out, history_of
from tests.benchmarks.trip import new_id

STREAMS = 50
TRIP, LONG = 3, 300  # steps
AT = datetime(2026, 11, 24, 5, tzinfo=UTC)


@dataclass(frozen=True)
class Replayed:
    """Events a second.

    Attributes:
        has_bar: whether the ratio has to reach one: of streams as long as a trip's, read in this process. On
            PostgreSQL most of a short stream's time is the round trip, theirs and ours.
    """

    what: str
    has_bar: bool
    ours: float
    theirs: float
    ratio: Ratio

    def __str__(self) -> str:
        return (
            f"replay {self.what:30} {self.ours:9.0f} events/s   eventsourcing's repository {self.theirs:9.0f}"
            f"   ratio {self.ratio}"
        )


def measure(stores: Sequence[Place], *, seconds: float, repetitions: int) -> list[Replayed]:
    """Replay streams of a trip's length, and long ones, on each store."""
    return [
        _measure(place, steps, seconds=seconds / 2, repetitions=repetitions)
        for place in stores
        for steps in (TRIP, LONG)
    ]


def _measure(place: Place, steps: int, *, seconds: float, repetitions: int) -> Replayed:
    definition = fan_out(steps)
    events = [Recorded(n, type(e).__name__, AT, e, {}) for n, e in enumerate(history_of(definition), start=1)]
    with ExitStack() as stack:
        ours, theirs = _ours(stack, place, definition, events), _theirs(stack, place, len(events))
        mine: list[Run] = []
        stock: list[Run] = []
        for _ in range(repetitions):
            mine.append(run_for(seconds, ours))
            stock.append(run_for(seconds, theirs))
    rates = [Figures.of(runs).rate * len(events) for runs in (mine, stock)]
    has_bar = steps == TRIP and place.name != "postgres"
    return Replayed(f"{place.name}, {len(events)} events", has_bar, rates[0], rates[1], Ratio.of(mine, stock))


def _ours(
    stack: ExitStack, place: Place, definition: SagaDefinition, events: Sequence[Recorded]
) -> Callable[[], object]:
    store = open_store(place.address, migrate=True)
    stack.callback(store.close)
    ids = [new_id() for _ in range(STREAMS)]
    for saga_id in ids:
        store.append([store.prepare(saga_id, expected_version=0, events=events, summary=None, is_open=False)])
    turns = itertools.cycle(ids)

    def once() -> None:
        state = replay(definition, store.read(saga_id := next(turns)), saga_id=saga_id)
        if state.version != len(events):
            raise SystemExit(f"{saga_id} replayed to version {state.version}, not {len(events)}")

    return once


def _theirs(stack: ExitStack, place: Place, length: int) -> Callable[[], object]:
    app = HandWritten(place.stock, "happy")
    stack.callback(app.close)
    turns = itertools.cycle([app.record_long(length) for _ in range(STREAMS)])

    def once() -> None:
        if app.events_of(trip_id := next(turns)) != length:
            raise SystemExit(f"{trip_id} was not read back whole")

    return once
