"""What goes wrong: workers killed, paused and cut off, their server's crashes; and who is hit by it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import psycopg

from tests.chaos.worker import LEASE
from tests.support import postgres

ROOT = Path(__file__).parents[2]
PAUSE = (1.5 * LEASE, 2.5 * LEASE)
"""Seconds that a worker is stopped for, at least and at most: others have taken its shards by then."""

CUT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'saga_es%%' AND random() < %s"""


SHARDS = "SELECT count(*) FROM saga_shards JOIN saga_workers ON worker = owner WHERE pid = %s"


class Database:
    """A server of our own that can be crashed: the same data, on the same port, again."""

    def __init__(self) -> None:
        tried: list[str] = []
        self._stack, self._running = ExitStack(), ExitStack()
        for binaries in postgres.found_binaries(tried):
            self._cluster = self._stack.enter_context(postgres.cluster(binaries))
            self._port = postgres.free_port()
            self._start()
            return
        raise postgres.NoPostgres("; ".join(tried))

    def _start(self) -> None:
        self._server = self._running.enter_context(postgres.running(*self._cluster, self._port))
        self.dsn = self._server.dsn

    def crash(self) -> None:
        """End it at once, without a checkpoint, and start it again."""
        self._server.process.send_signal(signal.SIGQUIT)
        self._server.process.wait()
        self._running.close()
        self._start()

    def cut(self, share: float) -> None:
        """End about this share of the workers' sessions."""
        with psycopg.connect(self.dsn, autocommit=True) as db:
            db.execute(CUT, (share,))

    def shards_of(self, pid: int) -> int:
        """Return how many shards the worker of a process holds."""
        with psycopg.connect(self.dsn) as db:
            row = db.execute(SHARDS, (pid,)).fetchone()
        return row[0] if row else 0

    def close(self) -> None:
        self._running.close()
        self._stack.close()


@dataclass
class Worker:
    process: asyncio.subprocess.Process
    entered: int = 0
    listening: asyncio.Task[None] = field(init=False)

    @classmethod
    async def start(cls, *arguments: str) -> Worker:
        command = [sys.executable, "-m", "tests.chaos.worker", *arguments]
        pipe = asyncio.subprocess.PIPE
        worker = cls(await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=pipe))
        worker.listening = asyncio.create_task(worker._listen())
        return worker

    async def _listen(self) -> None:
        assert self.process.stdout is not None
        async for _ in self.process.stdout:
            self.entered += 1

    async def end(self, sent: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self.process.send_signal(sent)
        await self.process.wait()
        await self.listening


@dataclass
class Nemesis:
    """Does harm to workers, one fault after the other, each when calls are in flight.

    Attributes:
        done: faults by kind.
        hits: how many of them found a worker with calls in flight, or cut or crashed what it wrote to.
        entries: how often a worker entered.
        replaced: how many pauses ended after others had taken all that the worker held.
        cut_the_paused: whether sessions may be cut during a pause.
    """

    database: Database
    socket: Path
    arguments: Sequence[str]
    chance: Random
    done: Counter[str] = field(default_factory=Counter)
    hits: int = 0
    entries: int = 0
    replaced: int = 0
    cut_the_paused: bool = True
    workers: list[Worker] = field(default_factory=list)

    async def hire(self, count: int) -> None:
        for _ in range(count):
            self.workers.append(await Worker.start(*self.arguments))

    async def strike(self, kind: str) -> None:
        self.check_that_all_live()
        busy = await self._busy()
        self.done[kind] += 1
        self.hits += busy is not None
        await asyncio.sleep(self.chance.uniform(0, 0.2))
        target = busy or self.chance.choice(self.workers)
        match kind:
            case "kill":
                await self._kill(target)
            case "pause":
                await self._pause(target)
            case "cut":
                self.database.cut(self.chance.choice([0.3, 1.0]))
            case _:
                await asyncio.to_thread(self.database.crash)

    def check_that_all_live(self) -> None:
        for worker in self.workers:
            if (
                worker.process.returncode is not None
            ):  # of itself: nothing that happens here may end an engine
                raise SystemExit(f"a worker ended with {worker.process.returncode}")

    async def leave(self) -> None:
        for worker in self.workers:
            await worker.end(signal.SIGTERM)
            self.entries += worker.entered

    async def _kill(self, worker: Worker) -> None:
        await worker.end(signal.SIGKILL)
        self.entries += worker.entered
        self.workers.remove(worker)
        await self.hire(1)

    async def _pause(self, worker: Worker) -> None:
        """Stop it beyond its lease; half of the time it finds its sessions cut when it goes on, else as they were."""
        held = self.database.shards_of(worker.process.pid)
        os.kill(worker.process.pid, signal.SIGSTOP)
        try:
            if self.cut_the_paused and self.chance.random() < 0.5:
                self.database.cut(1.0)
            await asyncio.sleep(self.chance.uniform(*PAUSE))
            self.replaced += held > 0 and self.database.shards_of(worker.process.pid) == 0
        finally:
            os.kill(worker.process.pid, signal.SIGCONT)

    async def _busy(self) -> Worker | None:
        """Return the worker with most calls in flight, once there is one; nobody after ten seconds."""
        for _ in range(200):
            try:
                in_flight = await self._in_flight()
            except OSError:  # many call at once; we ask again
                in_flight = Counter()
            busy = [worker for worker in self.workers if in_flight[str(worker.process.pid)]]
            if busy:
                return max(busy, key=lambda worker: in_flight[str(worker.process.pid)])
            await asyncio.sleep(0.05)
        return None

    async def _in_flight(self) -> Counter[str]:
        reader, writer = await asyncio.open_unix_connection(self.socket)
        writer.write(b'{"what": "in flight"}\n')
        found = json.loads(await reader.readline())
        writer.close()
        return Counter(found)
