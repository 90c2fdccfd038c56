"""Sagas per second and replay, as ratios within one run: python -m tests.benchmarks.compare

Compares saga_es on memory, SQLite and PostgreSQL with (a) raw sqlite3 or psycopg, one transaction per saga with
the same event bytes, and (b) a hand-written `eventsourcing` aggregate saved once per event.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from eventsourcing.persistence import StoredEvent

from saga_es import SagaEngine, Settings
from tests.benchmarks import places, replaying
from tests.benchmarks.measuring import Figures, Ratio, Run, run_concurrently_for, run_for
from tests.benchmarks.peers import HandWritten, Peer, RawPostgres, RawSqlite
from tests.benchmarks.places import Place
from tests.benchmarks.recording import log_of
from tests.benchmarks.trip import CASES, STATUS, BuyPackage, new_id

CONCURRENT = (1, 64, 512)
SETTINGS = Settings(migrate=True)
OURS, RAW, RAW_ONE, STOCK, STOCK_LEAST = (
    "saga_es",
    "(a) raw SQL",
    "(a1) in one statement",
    "(b) aggregate",
    "(b5) without intents",
)
Key = tuple[str, str, str, int]
"""Store, case, who, and how many at once (1 for the peers)."""


@dataclass(frozen=True)
class Bar:
    """What a ratio has to reach."""

    what: str
    least: float
    found: float

    @property
    def passed(self) -> bool:
        return self.found >= self.least

    def __str__(self) -> str:
        return f"{'PASS' if self.passed else 'FAIL'}  {self.what}: {self.found:.2f} (at least {self.least})"


@dataclass
class Measured:
    """All repetitions of a run, by key, in the order they were made."""

    runs: dict[Key, list[Run]] = field(default_factory=lambda: defaultdict(list))

    def ratio(self, store: str, case: str, concurrent: int, peer: str) -> Ratio | None:
        theirs = self.runs.get((store, case, peer, 1))
        return Ratio.of(self.runs[store, case, OURS, concurrent], theirs) if theirs else None

    def best(self, store: str, peer: str) -> float:
        """Return the best happy ratio of the concurrencies."""
        concurrencies = [key[3] for key in self.runs if key[:3] == (store, "happy", OURS)]
        ratios = [self.ratio(store, "happy", concurrent, peer) for concurrent in concurrencies]
        return max((ratio.median for ratio in ratios if ratio), default=0.0)


async def run_ours(place: Place, seconds: float, concurrencies: Sequence[int], measured: Measured) -> None:
    async with SagaEngine(place.address, sagas=[BuyPackage()], settings=SETTINGS) as engine:
        for case, trip in CASES.items():

            async def once(case: str = case, trip: object = trip) -> None:
                outcome = await engine.run("buy package", trip, saga_id=new_id())
                if outcome.status != STATUS[case]:
                    raise SystemExit(f"{outcome.saga_id} is {outcome.status}: a saga was lost")

            await once()
            for concurrent in concurrencies:
                run = await run_concurrently_for(seconds, once, concurrent)
                measured.runs[place.name, case, OURS, concurrent].append(run)


async def recorded_bytes() -> Mapping[str, Sequence[StoredEvent]]:
    """Return each case's events as they are stored, from a saga that really ran."""
    return {case: await log_of(BuyPackage(), trip, new_id()) for case, trip in CASES.items()}


@contextmanager
def peers_of(place: Place, case: str, events: Sequence[StoredEvent]) -> Iterator[dict[str, Peer]]:
    with ExitStack() as stack:
        peers: dict[str, Peer] = {}
        if place.name == "sqlite":
            peers[RAW] = RawSqlite(Path(place.raw), events)
        elif place.name == "postgres":
            peers[RAW] = RawPostgres(place.raw, events, one_statement=False)
            peers[RAW_ONE] = RawPostgres(place.raw, events, one_statement=True)
        peers[STOCK] = HandWritten(place.stock, case)
        peers[STOCK_LEAST] = HandWritten(place.stock, case, intents=False)
        for peer in peers.values():
            stack.callback(peer.close)
        yield peers


def run_peers(
    place: Place, seconds: float, events: Mapping[str, Sequence[StoredEvent]], measured: Measured
) -> None:
    for case in CASES:
        with peers_of(place, case, events[case]) as peers:
            for name, peer in peers.items():
                peer.run_one()
                measured.runs[place.name, case, name, 1].append(run_for(seconds, peer.run_one))


# -- printing -------------------------------------------------------------------------------------------

HEAD = (
    f"{'store':9}{'case':9}{'who':23}{'at once':>8}{'sagas/s':>9}{'range':>14}"
    f"{'p50 ms':>9}{'p99 ms':>9}{'cpu ms':>8}   of (a) | of (b)"
)


def line(measured: Measured, key: Key) -> str:
    store, case, who, concurrent = key
    it = Figures.of(measured.runs[key])
    spread = f"{it.slowest:.0f}-{it.fastest:.0f}"
    ratios = ""
    if who == OURS:
        both = [measured.ratio(store, case, concurrent, peer) for peer in (RAW, STOCK)]
        ratios = " | ".join(str(ratio) if ratio else "-" for ratio in both)
    return (
        f"{store:9}{case:9}{who:23}{concurrent:8}{it.rate:9.0f}{spread:>14}"
        f"{it.p50_ms:9.2f}{it.p99_ms:9.2f}{it.cpu_ms:8.3f}   {ratios}"
    ).rstrip()


def bars_of(measured: Measured, replays: Sequence[replaying.Replayed]) -> list[Bar]:
    bars = [
        Bar(f"replay, {it.what}, of eventsourcing's repository", 5.0, it.ratio.median)
        for it in replays
        if it.has_bar
    ]
    stores = {key[0] for key in measured.runs}
    if "sqlite" in stores:
        bars.append(Bar("SQLite, happy, of (b)", 3.0, measured.best("sqlite", STOCK)))
    if "postgres" in stores:
        bars.append(Bar("PostgreSQL, happy, of (b)", 10.0, measured.best("postgres", STOCK)))
        bars.append(Bar("PostgreSQL, happy, of (a)", 0.5, measured.best("postgres", RAW)))
    return bars


def as_json(
    said: Sequence[str], measured: Measured, replays: Sequence[replaying.Replayed], bars: Sequence[Bar]
) -> str:
    rows = [
        {
            "store": store,
            "case": case,
            "who": who,
            "concurrent": concurrent,
            **asdict(Figures.of(runs)),
            "rates": [run.rate for run in runs],
        }
        for (store, case, who, concurrent), runs in measured.runs.items()
    ]
    found = {
        "said": said,
        "sagas": rows,
        "replay": [asdict(it) for it in replays],
        "bars": [{**asdict(bar), "passed": bar.passed} for bar in bars],
    }
    return json.dumps(found, indent=1)


# -- the command ----------------------------------------------------------------------------------------


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.compare", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less of everything: half a minute, noisy")
    parser.add_argument("--seconds", type=float, help="of each measurement (default 1.0)")
    parser.add_argument("--repetitions", type=int, help="interleaved; medians are printed (default 3)")
    parser.add_argument("--concurrent", type=int, nargs="+", default=list(CONCURRENT))
    parser.add_argument("--stores", nargs="+", default=["memory", "sqlite", "postgres"])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    found = parser.parse_args(given)
    found.seconds = found.seconds or (0.3 if found.quick else 1.0)
    found.repetitions = found.repetitions or (1 if found.quick else 3)
    return found


def main(given: Sequence[str] | None = None) -> int:
    """Measure, print, and return 0 if every bar is reached, else 1."""
    asked = arguments(given)
    events = asyncio.run(recorded_bytes())
    measured = Measured()
    with ExitStack() as stack:
        stores = places.all_of(stack, asked.stores)
        said = [places.machine(), *(place.said for place in stores), places.settings_said(SETTINGS)]
        said += [
            f"{case}: {len(each)} events, {sum(len(e.state) for e in each)} bytes"
            for case, each in events.items()
        ]
        print(*said, sep="\n", end="\n\n", flush=True)
        for _ in range(asked.repetitions):
            for place in stores:
                asyncio.run(run_ours(place, asked.seconds, asked.concurrent, measured))
                run_peers(place, asked.seconds, events, measured)
        replays = replaying.measure(stores, seconds=asked.seconds, repetitions=asked.repetitions)
    print(HEAD)
    print(
        *(line(measured, key) for key in sorted(measured.runs, key=lambda key: (key[0], key[1] != "happy"))),
        sep="\n",
    )
    print(*replays, sep="\n")
    bars = bars_of(measured, replays)
    print("", *bars, sep="\n")
    if asked.json:
        asked.json.write_text(as_json(said, measured, replays, bars), encoding="utf-8")
    return 0 if all(bar.passed for bar in bars) else 1


if __name__ == "__main__":
    sys.exit(main())
