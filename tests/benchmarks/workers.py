"""Several workers on one PostgreSQL, and what fencing costs: python -m tests.benchmarks.workers

Throughput: as many trips (three steps in parallel that do nothing), and as many of them at once, by one worker, by
two and by four, each a SagaEngine in a process of its own. All enter, divide the sagas and warm up; then all start at
once, each its part through its own engine, which draws ids of sagas that it owns. Each run is in a fresh database.
The same again, without a bar, with ids that the caller gives, so that most of the sagas are another worker's.

Fencing: commits at the store, which take turns. Fenced, they name the epochs of as many shards as there are sagas in
the batch, and their events say who holds these, as an engine's do; without, nothing is beside the events.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import NamedTuple

from saga_es import SagaEngine, Settings
from saga_es.authoring.bindings import bindings_of
from saga_es.model.definition import SagaDefinition
from saga_es.model.lifecycle import SagaStatus
from saga_es.model.summary import SagaSummary
from saga_es.runtime.ownership import Alone, Holds, Ownership
from saga_es.store.address import open_store
from saga_es.store.append import Append
from saga_es.store.crew import Crew
from saga_es.store.port import Store
from saga_es.store.processes import this_process
from saga_es.store.shards import SHARDS, Lane, Shard, number_of
from tests.benchmarks import places
from tests.benchmarks.bars import Bar
from tests.benchmarks.measuring import Figures, Ratio, Run, percentile, run_all
from tests.benchmarks.open_sagas import by_index
from tests.benchmarks.plans import history_of
from tests.benchmarks.trip import CASES, BuyPackage

OF_ONE, FENCING_MS = 0.85, 0.5
WARM = 64
"""Sagas that each worker runs before it counts."""

PATIENCE = 60.0  # seconds for workers to divide the sagas
AT = datetime(2026, 11, 24, 5, tzinfo=UTC)
SETTINGS = Settings()
OWN, GIVEN = "own", "given"
Key = tuple[str, int]
"""Whose ids, and how many workers."""


# -- a worker, in a process of its own ------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """What one worker does."""

    address: str
    ids: str
    sagas: int
    concurrent: int


async def work(task: Task) -> None:
    """Enter, warm up, run the sagas, and leave: each when it is told to, and saying so."""
    async with SagaEngine(task.address, sagas=[BuyPackage()], settings=SETTINGS) as engine:

        async def once() -> None:
            saga_id = uuid.uuid4().hex if task.ids == GIVEN else None
            outcome = await engine.run("buy package", CASES["happy"], saga_id=saga_id)
            if outcome.status != SagaStatus.SUCCEEDED:
                raise SystemExit(f"{outcome.saga_id} is {outcome.status}: a saga was lost")

        await told_after("entered")
        await run_all(WARM, once, task.concurrent)
        await told_after("warm")
        run = await run_all(task.sagas, once, task.concurrent)
        await told_after(json.dumps(asdict(run)))


async def told_after(said: str) -> None:
    """Say something, and return when told to go on; the sagas of others go on meanwhile."""
    print(said, flush=True)
    if not await asyncio.to_thread(sys.stdin.readline):
        raise SystemExit("nobody is there who would tell this worker to go on")


# -- all of them ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Worker:
    """The other end of its pipes."""

    process: subprocess.Popen[str]

    def tell(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def said(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("a worker ended before its time")
        return line


@contextmanager
def started(task: Task) -> Iterator[Worker]:
    command = [sys.executable, "-m", "tests.benchmarks.workers", "--task", json.dumps(asdict(task))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Worker(process)


def run_workers(count: int, ids: str, sagas: int, concurrent: int) -> Run:
    """Run so many sagas, so many at once, on as many workers in a fresh database."""
    with ExitStack() as stack:
        (place,) = places.all_of(stack, ["postgres"])
        store = stack.enter_context(closing(open_store(place.address, migrate=True)))
        task = Task(place.address, ids, sagas // count, concurrent // count)
        workers = [stack.enter_context(started(task)) for _ in range(count)]
        for worker in workers:
            worker.said()
        await_division(crew_of(store), count)
        in_step(workers)
        began = time.perf_counter()
        runs = [Run(**json.loads(said)) for said in in_step(workers)]
        seconds = time.perf_counter() - began
        check(store, count, sagas + count * WARM)
        for worker in workers:
            worker.tell()
    latencies = [latency for run in runs for latency in run.latencies]
    return Run(sagas, seconds, sum(run.cpu for run in runs), latencies)


def measure_throughput(
    counts: Sequence[int], repetitions: int, sagas: int, concurrent: int
) -> Mapping[Key, Sequence[Run]]:
    kinds = [(OWN, 1), *((ids, count) for ids in (OWN, GIVEN) for count in counts)]
    measured: dict[Key, list[Run]] = {kind: [] for kind in kinds}
    for _ in range(repetitions):
        for ids, count in kinds:
            measured[ids, count].append(run_workers(count, ids, sagas, concurrent))
    return measured


def in_step(workers: Sequence[Worker]) -> list[str]:
    """Tell all to go on, and return what each says next."""
    for worker in workers:
        worker.tell()
    return [worker.said() for worker in workers]


def crew_of(store: Store) -> Crew:
    assert store.crew is not None
    return store.crew


def shares(crew: Crew) -> list[int]:
    return sorted(sum(len(owned.shards) for owned in worker.owns) for worker in crew.workers())


def await_division(crew: Crew, count: int) -> None:
    end = time.monotonic() + PATIENCE
    while shares(crew) != [SHARDS // count] * count:
        if time.monotonic() > end:
            raise SystemExit(f"{count} workers own {shares(crew)} shards after {PATIENCE:.0f} s")
        time.sleep(0.02)


def check(store: Store, count: int, sagas: int) -> None:
    """No saga may be lost, and no share have changed meanwhile."""
    found, owned = by_index(store), shares(crew_of(store))
    if found != {"succeeded": sagas} or owned != [SHARDS // count] * count:
        raise SystemExit(f"of {sagas} sagas the index shows {dict(found)}; the workers own {owned} shards")


# -- the cost of fencing --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shape:
    """Of a batch.

    Attributes:
        goes_on: whether it is the second batch of these sagas, which has no index rows.
    """

    sagas: int
    events: int
    goes_on: bool

    def __str__(self) -> str:
        rows = "going on" if self.goes_on else "beginning, with index rows"
        return f"{self.sagas} sagas x {self.events}, {rows}"


SIZES = ((50, 1), (16, 3))


class Pair(NamedTuple):
    """Seconds of commits that took turns."""

    fenced: list[float]
    plain: list[float]


def measure_fencing(commits: int) -> Mapping[Shape, Pair]:
    """Time so many commits of each kind, after a tenth as many that do not count."""
    definition = bindings_of(BuyPackage()).definition
    found: dict[Shape, Pair] = defaultdict(lambda: Pair([], []))
    with ExitStack() as stack:
        (place,) = places.all_of(stack, ["postgres"])
        store = stack.enter_context(closing(open_store(place.address, migrate=True)))
        owner = owner_of_all(crew_of(store), definition)
        warm_up = max(1, commits // 10)
        for number in range(warm_up + commits):
            for sagas, events in SIZES:
                ways: list[tuple[Ownership, int]] = [(owner, 0), (Alone(), 1)]
                for ownership, which in ways if number % 2 else reversed(ways):
                    for shape, seconds in commit(store, definition, ownership, sagas, events):
                        if number >= warm_up:
                            found[shape][which].append(seconds)
    return found


def owner_of_all(crew: Crew, definition: SagaDefinition) -> Holds:
    holds = Holds(uuid.uuid4().hex)
    crew.join(holds.worker, this_process(), [Lane.of(definition)], timedelta(hours=1))
    crew.claim(holds.worker, {definition.lane: SHARDS}, ())
    holds.take(crew.muster(holds.worker).holds)
    assert len(holds.shards) == SHARDS
    return holds


def commit(
    store: Store, definition: SagaDefinition, ownership: Ownership, sagas: int, events: int
) -> Iterator[tuple[Shape, float]]:
    """Begin so many sagas, then go on with them; give the seconds of either commit."""
    ids = ids_of_shards(sagas)
    for shape in (Shape(sagas, events, goes_on=False), Shape(sagas, events, goes_on=True)):
        batch = [prepared(store, definition, ownership, saga_id, shape) for saga_id in ids]
        began = time.perf_counter()
        store.append(batch)
        yield shape, time.perf_counter() - began


def ids_of_shards(count: int) -> list[str]:
    """Return ids of sagas each of another shard."""
    found: dict[int, str] = {}
    while len(found) < count:
        saga_id = uuid.uuid4().hex
        found[number_of(saga_id)] = saga_id
    return [*found.values()]


def prepared(
    store: Store, definition: SagaDefinition, ownership: Ownership, saga_id: str, shape: Shape
) -> Append:
    """Return the next events of a trip, as an engine with such ownership appends them."""
    shard = Shard.of(definition, saga_id) if ownership.is_shared else None
    before = shape.events if shape.goes_on else 0
    events = history_of(definition)[before : before + shape.events]
    running = SagaSummary(saga_id, definition.name, 1, SagaStatus.RUNNING, None, None, AT, AT)
    summary = None if shape.goes_on else running
    rows = store.encode(saga_id, before, events, AT, ownership.metadata(shard))
    return Append(saga_id, before, rows, summary, is_open=True, shard=shard, epoch=ownership.epoch(shard))


# -- printing, and the command --------------------------------------------------------------------------

HEAD = f"{'workers':>7}  {'ids':7}{'sagas/s':>9}{'range':>14}{'p50 ms':>9}{'p99 ms':>9}{'cpu ms':>8}   of one worker"


def report_throughput(measured: Mapping[Key, Sequence[Run]]) -> bool:
    print(HEAD)
    bars: list[Bar] = []
    for (ids, count), runs in measured.items():
        it, ratio = Figures.of(runs), Ratio.of(runs, measured[OWN, 1])
        spread = f"{it.slowest:.0f}-{it.fastest:.0f}"
        figures = f"{it.rate:9.0f}{spread:>14}{it.p50_ms:9.1f}{it.p99_ms:9.1f}{it.cpu_ms:8.3f}"
        print(f"{count:7}  {ids:7}{figures}   {ratio}")
        if ids == OWN and count > 1:
            bars.append(Bar(f"{count} workers, of one", OF_ONE, ratio.median))
    print(*bars, sep="\n", flush=True)
    return all(bar.passed for bar in bars)


def report_fencing(found: Mapping[Shape, Pair]) -> bool:
    passed = True
    for shape, pair in found.items():
        fenced, plain = (1000 * median(seconds) for seconds in pair)
        late = [1000 * percentile(seconds, 0.9) for seconds in pair]
        print(
            f"{shape}: p50 {fenced:.2f} ms fenced, {plain:.2f} ms without; p90 {late[0]:.2f}, {late[1]:.2f};"
            f" {len(pair.fenced)} commits each"
        )
        is_cheap = fenced - plain <= FENCING_MS
        print(
            f"{'PASS' if is_cheap else 'FAIL'}  fencing, {shape}: {fenced - plain:+.2f} ms (at most {FENCING_MS})"
        )
        passed = passed and is_cheap
    return passed


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.workers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", choices=["throughput", "fencing"], help="one of the two (default both)")
    parser.add_argument(
        "--sagas", type=int, default=4096, help="of each run, over all workers (default 4096)"
    )
    parser.add_argument("--concurrent", type=int, default=256, help="at once, over all workers (default 256)")
    parser.add_argument(
        "--workers", type=int, nargs="+", default=[2, 4], help="beside one alone (default 2 4)"
    )
    parser.add_argument(
        "--repetitions", type=int, default=5, help="interleaved; medians are printed (default 5)"
    )
    parser.add_argument("--commits", type=int, default=300, help="of each kind, for fencing (default 300)")
    parser.add_argument("--task", type=json.loads, help=argparse.SUPPRESS)
    asked = parser.parse_args(given)
    for count in asked.workers:
        if SHARDS % count or asked.sagas % count or asked.concurrent % count:
            parser.error(f"{SHARDS} shards, and the sagas, in all and at once, have to divide by {count}")
    return asked


def main(given: Sequence[str] | None = None) -> int:
    """Measure, print, and return 0 if every bar is reached, else 1."""
    asked = arguments(given)
    if asked.task:
        asyncio.run(work(Task(**asked.task)))
        return 0
    with ExitStack() as stack:
        (place,) = places.all_of(stack, ["postgres"])
        print(places.machine(), place.said, places.settings_said(SETTINGS), sep="\n", flush=True)
    passed = True
    if asked.only != "fencing":
        print(f"{asked.sagas} sagas, {asked.concurrent} at once, a fresh database for each run", flush=True)
        measured = measure_throughput(asked.workers, asked.repetitions, asked.sagas, asked.concurrent)
        passed = report_throughput(measured)
    if asked.only != "throughput":
        passed = report_fencing(measure_fencing(asked.commits)) and passed
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
