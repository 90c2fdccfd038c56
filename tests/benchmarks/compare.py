"""Sagas per second, what they cost, and replay, as ratios within one run: python -m tests.benchmarks.compare

Compares saga_es on memory, SQLite and PostgreSQL with (a) raw sqlite3 or psycopg writing the same event bytes, one
saga or a hundred in a transaction, (b) a hand-written `eventsourcing` aggregate saved once per event, and DBOS, where
it is installed. Every measurement has a process of its own, and all take turns, repetition by repetition.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from saga_es import Settings
from saga_es.store.encoding import StoredRow
from tests.benchmarks import picture, places, replaying, showing
from tests.benchmarks.bars import bars_of
from tests.benchmarks.ids import new_id
from tests.benchmarks.measured import Alone, Measured, sides
from tests.benchmarks.one import Task
from tests.benchmarks.places import Place
from tests.benchmarks.recording import log_of, log_on
from tests.benchmarks.trip import CASES, BuyPackage

CONCURRENT = (1, 50, 128, 512)
SECONDS, QUICK_SECONDS = 1.2, 0.3
REPLAY_SECONDS = 1.0
"""At most: its turns are many, and each is steady."""

Events = Mapping[tuple[str, str], Sequence[StoredRow]]
"""A saga's events as they are stored, by store and case."""


@dataclass(frozen=True)
class Plan:
    """What is measured how long and how often."""

    seconds: float
    repetitions: int
    cases: Sequence[str]
    concurrencies: Sequence[int]
    with_dbos: bool
    uvloop: bool


async def recorded(stores: Sequence[Place], cases: Sequence[str]) -> Events:
    """Return the events of sagas that really ran, one on each store in each case."""
    return {
        (place.name, case): await (
            log_of(BuyPackage(), CASES[case], new_id())
            if place.name == "memory"
            else log_on(place.address, BuyPackage(), CASES[case], new_id())
        )
        for place in stores
        for case in cases
    }


def measure(stores: Sequence[Place], plan: Plan, events: Events) -> Measured:
    """Measure all, interleaved: who is compared is measured one after another, and every second time backwards."""
    measured = Measured()
    for number in range(plan.repetitions):
        began = time.perf_counter()
        for place in stores:
            for case in plan.cases:
                turns = list(sides(place.name, plan.concurrencies, with_dbos=plan.with_dbos))
                for who, concurrent in reversed(turns) if number % 2 else turns:
                    task = _task(
                        place,
                        events[place.name, case],
                        case=case,
                        who=who,
                        concurrent=concurrent,
                        plan=plan,
                    )
                    measured.runs[place.name, case, who, concurrent].append(in_a_process(task))
        took = time.perf_counter() - began
        print(f"repetition {number + 1} of {plan.repetitions}: {took:.0f} s", flush=True)
    return measured


def _task(
    place: Place, events: Sequence[StoredRow], *, case: str, who: str, concurrent: int, plan: Plan
) -> Task:
    return Task(
        who=who,
        store=place.name,
        case=case,
        concurrent=concurrent,
        seconds=plan.seconds,
        address=place.address,
        stock=place.stock,
        raw=place.raw,
        dbos=place.dbos,
        events=[(version, topic, state.decode()) for _, version, topic, state in events],
        uvloop=plan.uvloop,
    )


def in_a_process(task: Task) -> Alone:
    command = [sys.executable, "-m", "tests.benchmarks.one", json.dumps(asdict(task))]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{task.who} on {task.store}, {task.case}, {task.concurrent} at once, went wrong")
    return Alone(**json.loads(done.stdout))


# -- the command ----------------------------------------------------------------------------------------


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.compare", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less of everything: a minute and a half, noisy")
    parser.add_argument("--seconds", type=float, help=f"of each measurement (default {SECONDS})")
    parser.add_argument("--repetitions", type=int, help="interleaved; medians are printed (default 3)")
    parser.add_argument("--concurrent", type=int, nargs="+", default=list(CONCURRENT))
    parser.add_argument("--stores", nargs="+", default=["memory", "sqlite", "postgres"])
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw them there, as SVG or PNG")
    parser.add_argument("--without-dbos", action="store_true", help="even where it is installed")
    parser.add_argument("--uvloop", action="store_true", help="run saga_es and DBOS on uvloop's event loop")
    found = parser.parse_args(given)
    found.seconds = found.seconds or (QUICK_SECONDS if found.quick else SECONDS)
    found.repetitions = found.repetitions or (1 if found.quick else 3)
    return found


def dbos_said(*, is_wanted: bool) -> tuple[bool, str]:
    """Return whether DBOS is measured, and what there is to say of it."""
    if not is_wanted:
        return False, "DBOS: left out"
    try:
        found = version("dbos")
    except PackageNotFoundError:
        return False, "DBOS: not installed (pip install 'saga_es[bench]'), so it has no rows and no bars"
    return True, f"DBOS {found}: its SQLite in WAL with synchronous=full, PostgreSQL as above, a pool of 20"


def main(given: Sequence[str] | None = None) -> int:
    """Measure, print, and return 0 if every bar is reached, else 1."""
    asked = arguments(given)
    if asked.picture:
        picture.refuse_without_matplotlib()
    with_dbos, of_dbos = dbos_said(is_wanted=not asked.without_dbos)
    plan = Plan(asked.seconds, asked.repetitions, asked.cases, asked.concurrent, with_dbos, asked.uvloop)
    with ExitStack() as stack:
        stores = places.all_of(stack, asked.stores)
        events = asyncio.run(recorded(stores, plan.cases))
        said = [
            places.machine(),
            *(place.said for place in stores),
            of_dbos,
            places.settings_said(Settings()),
            f"Event loop: {'uvloop ' + version('uvloop') if asked.uvloop else 'asyncio'}",
        ]
        said.append(
            f"Repetitions: {plan.repetitions}, of {plan.seconds:g} s each; each measurement has its own process"
        )
        said += [f"{case}: {len(events[stores[0].name, case])} events" for case in plan.cases]
        print(*said, sep="\n", flush=True)
        measured = measure(stores, plan, events)
        seconds = min(plan.seconds, REPLAY_SECONDS)
        replays = replaying.measure(stores, seconds=seconds, repetitions=plan.repetitions)
    bytes_of = {key: sum(len(state) for _, _, _, state in each) for key, each in events.items()}
    stored = showing.payloads(bytes_of, measured)
    bars = bars_of(measured, replays)
    for part in (stored, showing.table(measured), replays, bars):
        print("", *part, sep="\n")
    figures = showing.as_json(said, stored, measured, replays, bars)
    if asked.json:
        asked.json.write_text(figures, encoding="utf-8")
    if asked.picture:
        picture.draw(json.loads(figures), asked.picture)
    return 0 if all(bar.passed for bar in bars) else 1


if __name__ == "__main__":
    sys.exit(main())
