"""One measurement in a process of its own, so that its CPU time and its memory are that one's alone.

It is started by compare, with a `Task` as JSON, and prints an `Alone` as JSON. What a peer does not need it does not
import: neither saga_es nor DBOS is loaded beside raw SQL.

A measurement begins with a warm-up, which does not count. Then so many sagas are kept under way for a while, and
those that have begun by then are let finish; the rate is all of them over the time until the last one ended. That is
fair to a slow peer with many at once: nothing of its work is cut off, and nothing is waited for but work. With 512
at once a peer that does 90 a second works off one queue of 512, for six seconds, however short the while was, and
is as busy at its end as at its beginning; so it needs no longer window than others.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING

from tests.benchmarks.measured import (
    DBOS,
    OURS,
    RAW_100,
    RAW_100_ONE,
    RAW_ONE,
    STOCK,
    STOCK_LEAST,
    Alone,
)
from tests.benchmarks.measuring import Run, run_concurrently_for, run_for
from tests.benchmarks.memory import resident

if TYPE_CHECKING:
    from tests.benchmarks.raw import RawPostgres, RawSqlite

WARM_UP = 0.2
"""Of the seconds that count."""

WARM = 50
"""Are under way during the warm-up at most: it is for connections, caches and compiled code, not for a queue."""


@dataclass(frozen=True)
class Task:
    """What is measured.

    Attributes:
        address: as of a `Place`, with those that follow.
        events: version, topic and state of each event of such a saga, for raw SQL.
        uvloop: who has an event loop has uvloop's.
    """

    who: str
    store: str
    case: str
    concurrent: int
    seconds: float
    address: str
    stock: Mapping[str, str]
    raw: str
    dbos: str
    events: Sequence[tuple[int, str, str]]
    uvloop: bool


def measure(task: Task) -> Alone:
    if task.uvloop:
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    if task.who == OURS:
        run, stored = asyncio.run(measure_ours(task)), 0
    elif task.who == DBOS:
        from tests.benchmarks import dbos_trip

        run, stored = dbos_trip.measure(task.dbos, task.case, partial(warm_and_run, task))
    elif task.who in (STOCK, STOCK_LEAST):
        run, stored = measure_aggregate(task)
    else:
        run, stored = measure_raw(task)
    return Alone(run.done, run.seconds, run.cpu, run.latencies, resident()[1], stored)


async def warm_and_run(task: Task, once: Callable[[], Awaitable[object]]) -> Run:
    await run_concurrently_for(WARM_UP * task.seconds, once, min(WARM, task.concurrent))
    return await run_concurrently_for(task.seconds, once, task.concurrent)


async def measure_ours(task: Task) -> Run:
    from saga_es import SagaEngine, Settings
    from tests.benchmarks.ids import new_id
    from tests.benchmarks.trip import CASES, STATUS, BuyPackage

    async with SagaEngine(task.address, sagas=[BuyPackage()], settings=Settings(migrate=True)) as engine:

        async def once() -> None:
            outcome = await engine.run("buy package", CASES[task.case], saga_id=new_id())
            if outcome.status != STATUS[task.case]:
                raise SystemExit(f"{outcome.saga_id} is {outcome.status}: a saga was lost")

        return await warm_and_run(task, once)


def measure_aggregate(task: Task) -> tuple[Run, int]:
    from tests.benchmarks.peers import HandWritten

    with closing(HandWritten(task.stock, task.case, intents=task.who == STOCK)) as peer:
        run_for(WARM_UP * task.seconds, peer.record)
        run = run_for(task.seconds, peer.record)
        return run, peer.stored(peer.record())


def measure_raw(task: Task) -> tuple[Run, int]:
    sagas = 100 if task.who in (RAW_100, RAW_100_ONE) else 1
    with closing(raw_peer(task, sagas)) as peer:
        run_for(WARM_UP * task.seconds, peer.write, each=sagas)
        return run_for(task.seconds, peer.write, each=sagas), 0


def raw_peer(task: Task, sagas: int) -> RawSqlite | RawPostgres:
    from tests.benchmarks.raw import RawPostgres, RawSqlite

    rows = [(version, topic, state.encode()) for version, topic, state in task.events]
    if task.store == "sqlite":
        return RawSqlite(task.raw, rows, sagas=sagas)
    return RawPostgres(task.raw, rows, sagas=sagas, one_statement=task.who in (RAW_ONE, RAW_100_ONE))


if __name__ == "__main__":
    print(json.dumps(asdict(measure(Task(**json.loads(sys.argv[1]))))))
