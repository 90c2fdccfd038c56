"""What the figures have to reach."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.benchmarks.measured import DBOS, RAW, RAW_100, STOCK, Measured
from tests.benchmarks.measuring import Ratio
from tests.benchmarks.replaying import Replayed

REPLAYED, REPLAYED_STRETCH = 250_000, 1_000_000
OF_REPOSITORY = 6.0
OF_DBOS_ALONE = 0.3


@dataclass(frozen=True)
class Bar:
    """What a figure has to reach, or with ``at_most`` must not exceed.

    Attributes:
        stretch: what it would be good to reach too, where that is said.
    """

    what: str
    bound: float
    found: float
    stretch: float | None = None
    at_most: bool = False

    @property
    def passed(self) -> bool:
        return self.found <= self.bound if self.at_most else self.found >= self.bound

    def __str__(self) -> str:
        said = f"at {'most' if self.at_most else 'least'} {_said(self.bound)}"
        if self.stretch is not None:
            is_reached = self.found >= self.stretch
            said += f"; stretch goal {_said(self.stretch)} {'reached' if is_reached else 'not reached'}"
        return f"{'PASS' if self.passed else 'FAIL'}  {self.what}: {_said(self.found, digits=2)} ({said})"


def _said(value: float, digits: int | None = None) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if digits is None else f"{value:.{digits}f}"


@dataclass(frozen=True)
class Asked:
    """Of one of our rates with a crowd at once, over a peer's."""

    store: str
    case: str
    peer: str
    least: float
    stretch: float | None = None


RATES = (
    Asked("postgres", "happy", DBOS, 40, stretch=60),
    Asked("postgres", "failing", DBOS, 35, stretch=50),
    Asked("sqlite", "happy", DBOS, 25, stretch=40),
    Asked("postgres", "happy", RAW, 1.3),
    Asked("postgres", "happy", RAW_100, 0.15),
    Asked("sqlite", "happy", RAW_100, 0.20),
    Asked("postgres", "happy", STOCK, 10),
    Asked("sqlite", "happy", STOCK, 3),
)
SAID = {"memory": "memory", "sqlite": "SQLite", "postgres": "PostgreSQL"}


def bars_of(measured: Measured, replays: Sequence[Replayed]) -> list[Bar]:
    """Return the bars of what was measured; what was left out has none."""
    return [*_of_sagas(measured), *_of_replays(replays)]


def _of_sagas(measured: Measured) -> Iterator[Bar]:
    for it in RATES:
        best = measured.best(it.store, it.case, it.peer)
        if best:
            what = f"{SAID[it.store]}, {it.case}, sagas/s of {it.peer}'s"
            yield Bar(what, it.least, best.median, stretch=it.stretch)
    for store in ("postgres", "sqlite"):
        ratio: Ratio | None = measured.alone(store, "happy", DBOS)
        if ratio:
            what = f"{SAID[store]}, happy, one saga alone, p50 of {DBOS}'s"
            yield Bar(what, OF_DBOS_ALONE, ratio.median, at_most=True)


def _of_replays(replays: Sequence[Replayed]) -> Iterator[Bar]:
    for it in replays:
        if it.has_bar:
            yield Bar(f"replay, {it.what}, events/s", REPLAYED, it.ours, stretch=REPLAYED_STRETCH)
            yield Bar(f"replay, {it.what}, of eventsourcing's repository", OF_REPOSITORY, it.ratio.median)
