"""Replay, from stored bytes to state: ours against `eventsourcing`'s repository on as many events."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from saga_es.model.definition import SagaDefinition
from saga_es.model.events import Recorded
from saga_es.model.state import replay
from saga_es.runtime.process_wide import ask_for
from saga_es.runtime.settings import Settings
from saga_es.store.address import open_store
from saga_es.store.port import Store
from tests.benchmarks.ids import new_id
from tests.benchmarks.measuring import Figures, Ratio, Run, run_for
from tests.benchmarks.peers import HandWritten
from tests.benchmarks.places import Place
from tests.benchmarks.plans import fan_out, history_of
from tests.support.stores import prepare

STREAMS = 50
TRIP, LONG = 3, 300  # steps
SLICES = 5
"""Of each repetition: the shorter the turns, the more alike is the machine's mood in them."""

AT = datetime(2026, 11, 24, 5, tzinfo=UTC)


@dataclass(frozen=True)
class Way:
    """How our side replays.

    Attributes:
        one: replays ``streams`` of them, and returns how many events those had.
        has_bar: whether the ratio to theirs has to reach one.
    """

    said: str
    one: Callable[[SagaDefinition, Store, Iterator[str]], int]
    streams: int
    has_bar: Callable[[str], bool]


def _folded(definition: SagaDefinition, store: Store, ids: Iterator[str]) -> int:
    return store.stream(next(ids)).replay(definition).version


def _folded_in_a_page(definition: SagaDefinition, store: Store, ids: Iterator[str]) -> int:
    page = store.streams(list(itertools.islice(ids, STREAMS)))
    return sum(stream.replay(definition).version for stream in page.values())


def _validated(definition: SagaDefinition, store: Store, ids: Iterator[str]) -> int:
    return replay(definition, store.read(saga_id := next(ids)), saga_id=saga_id).version


# What theirs does is one stream at a time, and there is no other way; on a server that is a round trip each, whoever
# asks, so there the bar is on the way that recovery takes.
WAYS = (
    Way("as one saga is loaded", _folded, 1, lambda place: place != "postgres"),
    Way(f"as recovery does, {STREAMS} at once", _folded_in_a_page, STREAMS, lambda _: True),
    Way("validated, as an audit does", _validated, 1, lambda _: False),
)


@dataclass(frozen=True)
class Replayed:
    """Events a second, from stored bytes to state."""

    what: str
    has_bar: bool
    ours: float
    theirs: float
    ratio: Ratio

    def __str__(self) -> str:
        return (
            f"replay {self.what:58} {self.ours:9.0f} events/s"
            f"   eventsourcing's repository {self.theirs:9.0f}   ratio {self.ratio}"
        )


def measure(stores: Sequence[Place], *, seconds: float, repetitions: int) -> list[Replayed]:
    """Replay streams of a trip's length, and long ones, on each store.

    What an entered engine asks of the interpreter holds meanwhile, for both sides: an engine recovers so.
    """
    settings = Settings()
    take_back = ask_for(settings.thread_switch, settings.gc_threshold)
    try:
        return [
            replayed
            for place in stores
            for steps in (TRIP, LONG)
            for replayed in _measure(place, steps, seconds=seconds / 2, repetitions=repetitions)
        ]
    finally:
        take_back()


def _measure(place: Place, steps: int, *, seconds: float, repetitions: int) -> list[Replayed]:
    definition = fan_out(steps)
    events = [Recorded(n, type(e).__name__, AT, e, {}) for n, e in enumerate(history_of(definition), start=1)]
    with ExitStack() as stack:
        ways = _ours(stack, place, definition, events)
        theirs = _theirs(stack, place, len(events))
        mine: list[list[Run]] = [[] for _ in ways]
        stock: list[Run] = []
        for _ in range(SLICES * repetitions):
            stock.append(run_for(seconds / SLICES, theirs))
            for runs, way, ours in zip(mine, WAYS, ways, strict=True):
                runs.append(run_for(seconds / SLICES, ours, each=way.streams))
    rate = Figures.of(stock).rate * len(events)
    return [
        Replayed(
            f"{place.name}, {len(events)} events, {way.said}",
            way.has_bar(place.name),
            Figures.of(runs).rate * len(events),
            rate,
            Ratio.of(runs, stock),
        )
        for way, runs in zip(WAYS, mine, strict=True)
    ]


def _ours(
    stack: ExitStack, place: Place, definition: SagaDefinition, events: Sequence[Recorded]
) -> list[Callable[[], None]]:
    store = open_store(place.address, migrate=True)
    stack.callback(store.close)
    ids = [new_id() for _ in range(STREAMS)]
    for saga_id in ids:
        store.append(
            [prepare(store, saga_id, expected_version=0, events=events, summary=None, is_open=False)]
        )
    turns = itertools.cycle(ids)

    def once(way: Way) -> None:
        done = way.one(definition, store, turns)
        if done != way.streams * len(events):
            raise SystemExit(f"replayed {done} events, not {way.streams} streams of {len(events)}")

    return [partial(once, way) for way in WAYS]


def _theirs(stack: ExitStack, place: Place, length: int) -> Callable[[], None]:
    app = HandWritten(place.stock, "happy")
    stack.callback(app.close)
    turns = itertools.cycle([app.record_long(length) for _ in range(STREAMS)])

    def once() -> None:
        if app.events_of(trip_id := next(turns)) != length:
            raise SystemExit(f"{trip_id} was not read back whole")

    return once
