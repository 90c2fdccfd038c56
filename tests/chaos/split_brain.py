"""Workers that come back after they were taken for dead: python -m tests.chaos.split_brain --help

Four workers share one PostgreSQL server, started for the run, and a steady stream of sagas. Again and again one that
has calls in flight is stopped for longer than its lease, so that the others take what it held, and goes on with its
connections, its calls and its plans as they were. No event of an old epoch may stand after one of a newer, and each
worker has to go on with what it then owns.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial

from saga_es.store.address import open_store
from saga_es.store.application import SagaApplication
from saga_es.store.shards import Shard
from tests.chaos.epochs import marks_of
from tests.chaos.nemesis import Nemesis
from tests.chaos.running import Plan, Stream, run, say
from tests.chaos.verdict import plan_of

SHARE = 0.9
"""Of the pauses that have to end after all of the worker's shards are others'."""

PATIENCE = 60.0
"""Seconds for all workers to go on after the last pause."""


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.split_brain", description=__doc__)
    parser.add_argument("--pauses", type=int, default=200)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--rate", type=float, default=8, help="sagas started a second")
    parser.add_argument("--seed", type=int, help="of graphs and faults; by default another each time")
    return parser.parse_args(given)


async def pause(asked: argparse.Namespace, nemesis: Nemesis, stream: Stream) -> None:
    nemesis.beside = ("nothing",)
    for number in range(1, asked.pauses + 1):
        await nemesis.strike("pause")
        if number % 25 == 0:
            print(f"{number} of {asked.pauses} pauses, {len(stream.acknowledged)} sagas", flush=True)
    nemesis.check_that_all_live()
    await asyncio.to_thread(all_go_on, nemesis)


def all_go_on(nemesis: Nemesis) -> None:
    """Wait until each worker has recorded something in an epoch that it did not have when it was stopped last."""
    end = time.monotonic() + PATIENCE
    still = {worker.pid for worker in nemesis.workers}
    with closing(open_store(nemesis.database.dsn)) as log:
        position = log.position()
        while still:
            if time.monotonic() > end:
                raise SystemExit(f"the workers {sorted(still)} have not gone on within {PATIENCE:g} s")
            changes = log.changes(position)
            position = changes.position
            still.difference_update(in_new_epochs(nemesis, log, changes.versions))
            time.sleep(0.2)


def in_new_epochs(nemesis: Nemesis, log: SagaApplication, versions: Mapping[str, int]) -> Iterator[int]:
    """Yield the processes that recorded the newest events of sagas, in epochs that they gained since."""
    pids = nemesis.database.pids()
    for saga_id, version in versions.items():
        events = log.read(saga_id, upto=version)
        epoch, worker = marks_of(events).get(version, (0, ""))
        held = nemesis.held.get(pids.get(worker, 0), {})
        if worker in pids and epoch > held.get(Shard.of(plan_of(log, events), saga_id), 0):
            yield pids[worker]


def main(given: Sequence[str] | None = None) -> int:
    asked = arguments(given)
    seed = secrets.randbelow(2**31) if asked.seed is None else asked.seed
    nemesis, verdict = run(Plan(seed, asked.workers, asked.rate), partial(pause, asked))
    say(nemesis, verdict)
    enough = nemesis.replaced >= SHARE * asked.pauses and nemesis.hits >= int(SHARE * asked.pauses)
    passed = enough and not verdict.violations
    said = f"violations: {len(verdict.violations)}; taken over in {nemesis.replaced} of {asked.pauses} pauses"
    print(f"{'PASS' if passed else 'FAIL'}  {said}; all {asked.workers} workers went on")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
