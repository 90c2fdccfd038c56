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
from collections.abc import Sequence

import psycopg

from tests.chaos.nemesis import Database, Nemesis
from tests.chaos.running import Plan, Stream, run, say

SHARE = 0.9
"""Of the pauses that have to end after all of the worker's shards are others'."""

PATIENCE = 60.0
AT_WORK = """
SELECT count(*) FROM saga_workers AS w WHERE EXISTS (SELECT 1 FROM saga_shards WHERE owner = w.worker)
  AND EXISTS (SELECT 1 FROM saga_log WHERE notification_id > %s
              AND position(w.worker::bytea IN state) > 0)"""


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.split_brain", description=__doc__)
    parser.add_argument("--pauses", type=int, default=200)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--rate", type=float, default=8, help="sagas started a second")
    parser.add_argument("--seed", type=int, help="of graphs and faults; by default another each time")
    return parser.parse_args(given)


async def pause(nemesis: Nemesis, stream: Stream, *, pauses: int, workers: int) -> None:
    nemesis.cut_the_paused = False
    for number in range(1, pauses + 1):
        await nemesis.strike("pause")
        if number % 25 == 0:
            print(f"{number} of {pauses} pauses, {len(stream.acknowledged)} sagas", flush=True)
    await all_at_work(nemesis.database, workers)


async def all_at_work(database: Database, workers: int) -> None:
    """Wait until each worker owns something, and has recorded something since now."""
    end = time.monotonic() + PATIENCE
    async with await psycopg.AsyncConnection.connect(database.dsn, autocommit=True) as db:
        (position,) = await (await db.execute("SELECT max(notification_id) FROM saga_log")).fetchone() or (0,)
        while time.monotonic() < end:
            if await (await db.execute(AT_WORK, (position,))).fetchone() == (workers,):
                return
            await asyncio.sleep(0.2)
    raise SystemExit(f"not all of the {workers} workers have gone on within {PATIENCE:g} s")


def main(given: Sequence[str] | None = None) -> int:
    asked = arguments(given)
    seed = secrets.randbelow(2**31) if asked.seed is None else asked.seed
    plan = Plan(seed, asked.workers, asked.rate)
    nemesis, verdict = run(
        plan, lambda nemesis, stream: pause(nemesis, stream, pauses=asked.pauses, workers=asked.workers)
    )
    say(nemesis, verdict)
    enough = nemesis.replaced >= SHARE * asked.pauses and nemesis.hits >= SHARE * asked.pauses
    passed = enough and not verdict.violations
    said = f"violations: {len(verdict.violations)}; taken over in {nemesis.replaced} of {asked.pauses} pauses"
    print(f"{'PASS' if passed else 'FAIL'}  {said}; all {asked.workers} workers went on")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
