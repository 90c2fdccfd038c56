"""A run: participants, workers and a stream of sagas on a server of its own, while harm is done; and how it ended."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

from saga_es import SagaClient
from saga_es.errors import PastPivot, SagaAlreadyEnded, StoreUnavailable
from saga_es.store.address import open_store
from tests.chaos.nemesis import ROOT, Database, Nemesis, Nursery
from tests.chaos.plans import Calls, Order, sagas
from tests.chaos.rest import at_rest
from tests.chaos.verdict import LONG, Verdict, judge

GRAPHS = 20
SHOWN = 3
"""Histories of those that are complained of."""

CANCELLED = 0.08
"""The share of sagas that are asked to turn round soon after."""


class Stream:
    """Starts sagas all the while, each under its id until it is acknowledged, and cancels some.

    Attributes:
        acknowledged: starts.
        cancelled: those of which a cancel was acknowledged, too.
    """

    def __init__(self, store: str, seed: int, rate: float) -> None:
        self._store, self._seed, self._rate = store, seed, rate
        self._chance = Random(seed)  # noqa: S311 - chance that can be had again
        self.acknowledged: list[str] = []
        self.cancelled: set[str] = set()
        self.stop = asyncio.Event()

    async def run(self) -> None:
        known = sagas(self._seed, GRAPHS, Calls(Path("none"), 0))
        async with SagaClient(self._store, sagas=known) as client, asyncio.TaskGroup() as cancels:
            while not self.stop.is_set():
                saga_id = f"saga-{len(self.acknowledged)}"
                graph = f"graph {self._chance.randrange(GRAPHS)}"
                await _until_answered(partial(client.start, graph, Order(number=1), saga_id=saga_id))
                self.acknowledged.append(saga_id)
                if self._chance.random() < CANCELLED:
                    cancels.create_task(self._cancel(client, saga_id))
                await self._pause(self._rate)

    async def _cancel(self, client: SagaClient, saga_id: str) -> None:
        await self._pause(3)
        with suppress(PastPivot, SagaAlreadyEnded):
            await _until_answered(partial(client.cancel, saga_id, by="chance", reason="none"))
            self.cancelled.add(saga_id)

    async def _pause(self, rate: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.stop.wait(), self._chance.expovariate(rate))


async def _until_answered(asked: Callable[[], Awaitable[object]]) -> None:
    while True:
        with suppress(StoreUnavailable):
            await asked()
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
            nemesis, stream, unrest = asyncio.run(wreak(plan, harm, database, Path(folder)))
            verdict = judge(database.dsn, Path(folder) / "ledger.db", stream.acknowledged, stream.cancelled)
            verdict.violations += unrest
            return nemesis, verdict
    finally:
        database.close()


async def wreak(
    plan: Plan, harm: Harm, database: Database, folder: Path
) -> tuple[Nemesis, Stream, Sequence[str]]:
    socket, ledger = folder / "participants", folder / "ledger.db"
    command = [sys.executable, "-m", "tests.chaos.participants", str(socket), str(ledger)]
    participants = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    assert participants.stdout is not None
    await participants.stdout.readline()
    nursery = Nursery((database.dsn, str(socket), str(plan.seed), str(GRAPHS)))
    nemesis = Nemesis(database, socket, nursery, Random(plan.seed))  # noqa: S311 - as above
    stream = Stream(database.dsn, plan.seed, plan.rate)
    streaming = asyncio.create_task(stream.run())
    try:
        await nemesis.hire(plan.workers)
        await harm(nemesis, stream)
        stream.stop.set()
        await streaming
        unrest = await at_rest(database.dsn, [worker.pid for worker in nemesis.workers])
        nemesis.check_that_all_live()
    finally:
        streaming.cancel()
        await nemesis.dismiss()
        await nursery.close()
        participants.kill()
        await participants.wait()
    return nemesis, stream, unrest


def say(nemesis: Nemesis, verdict: Verdict) -> None:
    pauses, replaced = nemesis.done["pause"], nemesis.replaced
    print(f"faults: {dict(nemesis.done)}; {nemesis.hits} of {nemesis.done.total()} hit work in flight")
    print(
        f"workers entered {nemesis.entries} times; {replaced} of {pauses} pauses ended after all was claimed"
    )
    print(f"sagas: {verdict.told}; {verdict.cancels} cancels; {verdict.calls} calls of participants")
    print(
        f"{verdict.takeovers} takeovers of sagas in their midst; {len(verdict.silences)} silences over {LONG}"
    )
    for lasted, history in sorted(verdict.silences, reverse=True)[:SHOWN]:
        print(f"nothing for {lasted.total_seconds():.1f} s in {history}")
    print(*verdict.violations, *verdict.histories[:SHOWN], sep="\n", end="\n" if verdict.violations else "")
