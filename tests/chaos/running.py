"""A run: participants, workers and a stream of sagas on a server of its own, while harm is done; and how it ended."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import psycopg

from saga_es import SagaClient
from saga_es.errors import StoreUnavailable
from saga_es.store.address import open_store
from tests.chaos.nemesis import ROOT, Database, Nemesis
from tests.chaos.plans import Calls, Order, sagas
from tests.chaos.verdict import Verdict, judge

GRAPHS = 20
SETTLING = 180.0
"""Seconds that the sagas have to come to rest once nothing goes wrong any more."""


class Stream:
    """Starts sagas all the while, each under its id until it is acknowledged."""

    def __init__(self, store: str, seed: int, rate: float) -> None:
        self._store, self._seed, self._rate = store, seed, rate
        self.acknowledged: list[str] = []
        self.stop = asyncio.Event()

    async def run(self) -> None:
        known = sagas(self._seed, GRAPHS, Calls(Path("none"), 0))
        chance = Random(self._seed)  # noqa: S311 - chance that can be had again
        async with SagaClient(self._store, sagas=known) as client:
            while not self.stop.is_set():
                saga_id = f"saga-{len(self.acknowledged)}"
                await self._start(client, f"graph {chance.randrange(GRAPHS)}", saga_id)
                self.acknowledged.append(saga_id)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.stop.wait(), chance.expovariate(self._rate))

    @staticmethod
    async def _start(client: SagaClient, graph: str, saga_id: str) -> None:
        while True:
            with suppress(StoreUnavailable):
                await client.start(graph, Order(number=1), saga_id=saga_id)
                return
            await asyncio.sleep(0.1)


@dataclass(frozen=True)
class Plan:
    """What a run is made of, but for what goes wrong.

    Attributes:
        seed: of graphs and faults.
        rate: sagas started a second.
    """

    seed: int
    workers: int
    rate: float


Harm = Callable[[Nemesis, Stream], Awaitable[None]]


def run(plan: Plan, harm: Harm) -> tuple[Nemesis, Verdict]:
    """Let workers run sagas on a server of their own while harm is done, and judge what became of these."""
    print(f"seed {plan.seed}", flush=True)
    database = Database()
    try:
        with tempfile.TemporaryDirectory(prefix="saga_es-chaos-") as folder:
            open_store(database.dsn, migrate=True).close()
            nemesis, stream = asyncio.run(wreak(plan, harm, database, Path(folder)))
            return nemesis, judge(database.dsn, Path(folder) / "ledger.db", stream.acknowledged)
    finally:
        database.close()


async def wreak(plan: Plan, harm: Harm, database: Database, folder: Path) -> tuple[Nemesis, Stream]:
    socket, ledger = folder / "participants", folder / "ledger.db"
    command = [sys.executable, "-m", "tests.chaos.participants", str(socket), str(ledger)]
    participants = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    assert participants.stdout is not None
    await participants.stdout.readline()
    worker = (database.dsn, str(socket), str(plan.seed), str(GRAPHS))
    nemesis = Nemesis(database, socket, worker, Random(plan.seed))  # noqa: S311 - as above
    stream = Stream(database.dsn, plan.seed, plan.rate)
    streaming = asyncio.create_task(stream.run())
    try:
        await nemesis.hire(plan.workers)
        await harm(nemesis, stream)
        stream.stop.set()
        await streaming
        await settle(database.dsn)
        nemesis.check_that_all_live()
    finally:
        streaming.cancel()
        await nemesis.leave()
        participants.kill()
        await participants.wait()
    return nemesis, stream


async def settle(store: str) -> None:
    """Wait until every saga has ended or is parked."""
    query = "SELECT count(*) FROM saga_index WHERE is_open AND parked IS NULL"
    end = time.monotonic() + SETTLING
    async with await psycopg.AsyncConnection.connect(store, autocommit=True) as db:
        while time.monotonic() < end:
            row = await (await db.execute(query)).fetchone()
            if row == (0,):
                return
            await asyncio.sleep(0.2)


def say(nemesis: Nemesis, verdict: Verdict) -> None:
    print(f"faults: {dict(nemesis.done)}; {nemesis.hits} of {nemesis.done.total()} hit work in flight")
    takeovers = f"{verdict.takeovers} takeovers in mid-saga"
    print(f"sagas: {dict(verdict.endings)}; {verdict.calls} calls; {takeovers}")
    print(
        f"workers entered {nemesis.entries} times; {nemesis.replaced} pauses ended after all was taken over"
    )
    print(*verdict.violations, sep="\n", end="\n" if verdict.violations else "")
