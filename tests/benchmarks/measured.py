"""What compare measures, by whom, and all that it found."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from tests.benchmarks.measuring import Ratio, Run

OURS: Final = "saga_es"
RAW: Final = "(a) raw SQL"
RAW_ONE: Final = "(a1) in one statement"
RAW_100: Final = "(a100) 100 a commit"
RAW_100_ONE: Final = "(a100) in one statement"
STOCK: Final = "(b) aggregate"
STOCK_LEAST: Final = "(b5) without intents"
DBOS: Final = "DBOS"

ONE_BY_ONE: Final = {
    "memory": (STOCK, STOCK_LEAST),
    "sqlite": (STOCK, STOCK_LEAST, RAW, RAW_100),
    "postgres": (STOCK, STOCK_LEAST, RAW, RAW_ONE, RAW_100, RAW_100_ONE),
}
"""Who does one thing after another on one connection, by store."""

CROWD: Final = 50
"""So many at once, or more, is where throughput is looked for."""

Key = tuple[str, str, str, int]
"""Store, case, who, and how many at once."""


@dataclass(frozen=True)
class Alone(Run):
    """A run that had a process to itself.

    Attributes:
        peak_mb: that process's memory at its highest, in MB of a million bytes.
        stored: bytes of payload that one saga leaves in the store; 0 where the parent knows.
    """

    peak_mb: float
    stored: int


def sides(store: str, concurrencies: Sequence[int], *, with_dbos: bool) -> Iterator[tuple[str, int]]:
    """Yield who is measured on a store, at how many at once, so that those who are compared are neighbours."""
    concurrent = [OURS, DBOS] if with_dbos and store != "memory" else [OURS]
    alone = [number for number in concurrencies if number < CROWD]
    yield from ((who, number) for number in alone for who in concurrent)
    yield from ((who, 1) for who in ONE_BY_ONE[store])
    yield from ((who, number) for number in concurrencies if number not in alone for who in concurrent)


@dataclass
class Measured:
    """All repetitions of a run, by key, in the order of the repetitions."""

    runs: dict[Key, list[Alone]] = field(default_factory=lambda: defaultdict(list))

    def ratio(self, store: str, case: str, concurrent: int, peer: str) -> Ratio | None:
        """Return our rate over a peer's: at as many at once, or one after another where it knows no other way."""
        at_once = 1 if peer in ONE_BY_ONE[store] else concurrent
        theirs = self.runs.get((store, case, peer, at_once))
        return Ratio.of(self.runs[store, case, OURS, concurrent], theirs) if theirs else None

    def best(self, store: str, case: str, peer: str) -> Ratio | None:
        """Return our rate over a peer's, of each the better one of those with a crowd at once."""
        ours, theirs = self._crowded(store, case, OURS), self._crowded(store, case, peer)
        return Ratio.of(ours, theirs) if ours and theirs else None

    def _crowded(self, store: str, case: str, who: str) -> list[Alone]:
        found = {key[3]: runs for key, runs in self.runs.items() if key[:3] == (store, case, who)}
        enough = min(CROWD, max(found, default=0))
        crowds = [runs for number, runs in found.items() if number >= enough]
        return max(crowds, key=lambda runs: median(run.rate for run in runs), default=[])

    def alone(self, store: str, case: str, peer: str) -> Ratio | None:
        """Return our p50 of one saga alone over a peer's."""
        ours, theirs = (self.runs.get((store, case, who, 1)) for who in (OURS, peer))
        return Ratio.of_p50(ours, theirs) if ours and theirs else None
