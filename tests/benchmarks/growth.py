"""Does the cost grow with the store, with a saga's width, with time? python -m tests.benchmarks.growth

The store: sagas a second with a thousand finished ones in it and with a hundred thousand; stores of either kind take
turns. The width: one saga of ten thousand parallel steps against a thousand sagas of ten, with the same settings, by
turns; compared is the time a step takes. Time: the memory that twenty thousand sagas take, 50 at once, against that
of two thousand. Every measurement has a process of its own, and a store that no other measurement wrote to, but for
the filled one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from statistics import median

import psycopg

from saga_es import Settings
from tests.benchmarks import large_store, places
from tests.benchmarks.bars import Bar
from tests.benchmarks.growing import Grown, Task, settings_of
from tests.benchmarks.places import Place

OF_SMALL, OF_MANY = 0.85, 2.0
OF_FEW, MORE_MB = 1.1, 10.0
CONCURRENT = 50


@dataclass(frozen=True)
class Sizes:
    """Of what is measured; the smaller and the larger of each pair are compared.

    Attributes:
        finished: sagas in the store beforehand.
        turn: sagas that are run on it in one turn.
        turns: of each store.
        steps: of all the many sagas together, and of the wide one.
        each: steps of one of the many.
        repetitions: of the wide one and the many.
        sagas: whose memory is compared.
    """

    finished: tuple[int, int] = (1_000, 100_000)
    turn: int = 2_000
    turns: int = 7
    steps: int = 10_000
    each: int = 10
    repetitions: int = 3
    sagas: tuple[int, int] = (2_000, 20_000)


QUICK = Sizes((1_000, 20_000), turn=500, turns=3, steps=2_000, repetitions=1, sagas=(1_000, 5_000))


class Growth:
    """Runs measurements on stores of one kind."""

    def __init__(self, store: str, sizes: Sizes, per_saga: int) -> None:
        self.store, self.sizes, self.per_saga = store, sizes, per_saga

    # -- the store grows ----------------------------------------------------------------------------

    def of_the_store(self) -> Iterator[Bar]:
        """A small store is a new one each time: with every turn it would be less small."""
        small, large = self.sizes.finished
        rates: Mapping[int, list[float]] = defaultdict(list)
        with ExitStack() as stack:
            filled = self._filled(stack, large)
            new = [self._filled(stack, small) for _ in range(self.sizes.turns)]
            settle(filled)
            for turn, each in enumerate(new):
                pair = [(small, each), (large, filled)]
                for finished, place in pair if turn % 2 else reversed(pair):
                    took = self._run(place, sagas=self.sizes.turn).seconds
                    rates[finished].append(self.sizes.turn / took)
        for finished, found in sorted(rates.items()):
            spread = f"{min(found):,.0f}-{max(found):,.0f}"
            print(f"{finished:9,} finished sagas in the store: {median(found):7,.0f} sagas/s ({spread})")
        ratio = median(rates[large]) / median(rates[small])
        yield Bar(
            f"sagas/s with {large:,} finished ones in the store, of those with {small:,}", OF_SMALL, ratio
        )

    def _filled(self, stack: ExitStack, finished: int) -> Place:
        (place,) = places.all_of(stack, [self.store])
        large_store.fill(place, finished, 0)
        return place

    # -- a saga grows -------------------------------------------------------------------------------

    def of_the_width(self) -> Iterator[Bar]:
        steps, each = self.sizes.steps, self.sizes.each
        kinds = {
            f"1 saga of {steps:,} steps": (1, steps),
            f"{steps // each:,} sagas of {each} steps": (steps // each, each),
        }
        found: Mapping[str, list[Grown]] = defaultdict(list)
        for _ in range(self.sizes.repetitions):
            for said, (sagas, wide) in kinds.items():
                with self._new() as place:
                    found[said].append(self._run(place, sagas=sagas, steps=wide))
        for said, runs in found.items():
            took = [1e6 * run.seconds / steps for run in runs]
            peak = max(run.peak_mb for run in runs)
            print(
                f"{said:>26}: {median(took):7.0f} µs a step ({min(took):.0f}-{max(took):.0f}), {peak:.0f} MB at most"
            )
        pairs = zip(*found.values(), strict=True)
        ratio = median(one.seconds / other.seconds for one, other in pairs)
        yield Bar(f"time a step of a saga of {steps:,}, of sagas of {each}", OF_MANY, ratio, at_most=True)

    # -- time passes --------------------------------------------------------------------------------

    def of_time(self) -> Iterator[Bar]:
        peaks: list[float] = []
        for sagas in self.sizes.sagas:
            with self._new() as place:
                peaks.append(self._run(place, sagas=sagas).peak_mb)
            print(f"{sagas:9,} sagas, {CONCURRENT} at once: {peaks[-1]:.0f} MB at most")
        few, many = peaks
        what = f"MB at most with {self.sizes.sagas[1]:,} sagas"
        yield Bar(what, OF_FEW * few + MORE_MB, many, at_most=True)

    @contextmanager
    def _new(self) -> Iterator[Place]:
        with ExitStack() as stack:
            (place,) = places.all_of(stack, [self.store])
            yield place

    def _run(self, place: Place, *, sagas: int, steps: int = 0) -> Grown:
        task = Task(place.address, sagas, min(CONCURRENT, sagas), steps, self.per_saga)
        command = [sys.executable, "-m", "tests.benchmarks.growing", json.dumps(asdict(task))]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{sagas} sagas on {self.store} went wrong")
        return Grown(**json.loads(done.stdout))


def settle(place: Place) -> None:
    """Let the server write what it was given, so that the first turns do not."""
    if place.name == "postgres":
        with psycopg.connect(place.raw, autocommit=True) as db:
            db.execute("CHECKPOINT")


# -- the command ----------------------------------------------------------------------------------------


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.growth",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--store", choices=["sqlite", "postgres"], default="postgres")
    parser.add_argument("--only", choices=["store", "width", "time"], help="one of the three (default all)")
    parser.add_argument("--quick", action="store_true", help="less of everything, noisy")
    parser.add_argument(
        "--per-saga",
        type=int,
        default=Settings().max_in_flight_per_saga,
        help="max_in_flight_per_saga, of all of them (default the library's)",
    )
    parser.add_argument("--sizes", type=json.loads, default={}, metavar="JSON", help="some of the sizes")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> int:
    """Measure, print, and return 0 if every bar is reached, else 1."""
    asked = arguments(given)
    sizes = Sizes(**{**asdict(QUICK if asked.quick else Sizes()), **asked.sizes})
    growth = Growth(asked.store, sizes, asked.per_saga)
    with ExitStack() as stack:
        (place,) = places.all_of(stack, [asked.store])
        print(
            places.machine(),
            place.said,
            places.settings_said(settings_of(asked.per_saga)),
            sep="\n",
            flush=True,
        )
    parts = {"store": growth.of_the_store, "width": growth.of_the_width, "time": growth.of_time}
    passed = True
    for name, part in parts.items():
        if asked.only in (None, name):
            print()
            for bar in part():
                print(bar, flush=True)
                passed &= bar.passed
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
