"""Workers, participants, and everything that can go wrong between them: python -m tests.chaos --help

Workers share one PostgreSQL server, started for the run. Sagas from random graphs are started all the while; a nemesis
kills workers (SIGKILL), pauses them while their sessions are cut, cuts sessions, and crashes the server. Afterwards
every saga has to be ended or parked, and what the participants wrote down has to balance.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
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


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--pauses", type=int, default=50)
    parser.add_argument("--cuts", type=int, default=50)
    parser.add_argument("--crashes", type=int, default=10, help="of the server")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--rate", type=float, default=4, help="sagas started a second")
    parser.add_argument("--hits", type=int, default=100, help="faults that have to hit work in flight")
    parser.add_argument("--seed", type=int, help="of graphs and faults; by default another each time")
    return parser.parse_args(given)


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


async def wreak(
    asked: argparse.Namespace, database: Database, folder: Path, seed: int
) -> tuple[Nemesis, Stream]:
    socket, ledger = folder / "participants", folder / "ledger.db"
    command = [sys.executable, "-m", "tests.chaos.participants", str(socket), str(ledger)]
    participants = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    assert participants.stdout is not None
    await participants.stdout.readline()
    worker = (database.dsn, str(socket), str(seed), str(GRAPHS))
    nemesis = Nemesis(database, socket, worker, Random(seed))  # noqa: S311 - as above
    stream = Stream(database.dsn, seed, asked.rate)
    streaming = asyncio.create_task(stream.run())
    try:
        await nemesis.hire(asked.workers)
        faults = ["kill"] * asked.kills + ["pause"] * asked.pauses + ["cut"] * asked.cuts
        faults += ["crash"] * asked.crashes
        nemesis.chance.shuffle(faults)
        for number, fault in enumerate(faults, start=1):
            await nemesis.strike(fault)
            if number % 25 == 0:
                print(f"{number} of {len(faults)} faults, {len(stream.acknowledged)} sagas", flush=True)
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


def report(asked: argparse.Namespace, nemesis: Nemesis, verdict: Verdict) -> int:
    print(f"faults: {dict(nemesis.done)}; {nemesis.hits} of {nemesis.done.total()} hit work in flight")
    print(f"sagas: {dict(verdict.endings)}; {verdict.calls} calls; taken up {nemesis.entries} times")
    print(*verdict.violations, sep="\n", end="\n" if verdict.violations else "")
    passed = not verdict.violations and nemesis.hits >= asked.hits
    said = f"violations: {len(verdict.violations)}; hits: {nemesis.hits} (at least {asked.hits})"
    print(f"{'PASS' if passed else 'FAIL'}  {said}")
    return 0 if passed else 1


def main(given: Sequence[str] | None = None) -> int:
    asked = arguments(given)
    seed = secrets.randbelow(2**31) if asked.seed is None else asked.seed
    print(f"seed {seed}", flush=True)
    database = Database()
    try:
        with tempfile.TemporaryDirectory(prefix="saga_es-chaos-") as folder:
            open_store(database.dsn, migrate=True).close()
            nemesis, stream = asyncio.run(wreak(asked, database, Path(folder), seed))
            verdict = judge(database.dsn, Path(folder) / "ledger.db", stream.acknowledged)
    finally:
        database.close()
    return report(asked, nemesis, verdict)


if __name__ == "__main__":
    sys.exit(main())
