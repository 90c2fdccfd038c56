"""What goes wrong: workers killed, paused, leaving and cut off, their server's crashes; and who is hit by it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import psycopg

from saga_es.store.crew import Shard
from tests.chaos.worker import LEASE, application_name
from tests.support import postgres

ROOT = Path(__file__).parents[2]
PAUSE = (1.6 * LEASE, 2.4 * LEASE)
"""Seconds that a worker is stopped for, at least and at most: others have taken its shards by then."""

PATIENCE = 60.0
"""Seconds that a worker may take to leave."""

CUT = """
SELECT application_name, pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE 'saga_es%%' AND random() < %s"""

HELD = """
SELECT lane, shard, epoch FROM saga_shards JOIN saga_workers ON worker = owner WHERE pid = %s"""

BESIDE = ("nothing", "nothing", "cut", "kill")
"""What else happens while a worker is stopped: mostly nothing, and it goes on with its sessions as they were."""

Held = dict[Shard, int]
"""Shards, each with its epoch."""


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

    def cut(self, share: float) -> set[str]:
        """End about this share of the sessions, and return whose they were."""
        with psycopg.connect(self.dsn, autocommit=True) as db:
            return {name for name, _ in db.execute(CUT, (share,))}

    def pids(self) -> dict[str, int]:
        """Return the workers, each with its process."""
        with psycopg.connect(self.dsn) as db:
            return dict(db.execute("SELECT worker, pid FROM saga_workers").fetchall())

    def held_by(self, pid: int) -> Held:
        """Return the shards that the worker of a process holds."""
        with psycopg.connect(self.dsn) as db:
            return {Shard(lane, number): epoch for lane, number, epoch in db.execute(HELD, (pid,))}

    def are_others(self, held: Held) -> bool:
        """Whether each of these shards has been claimed by somebody since."""
        with psycopg.connect(self.dsn) as db:
            rows = db.execute("SELECT lane, shard, epoch FROM saga_shards WHERE owner IS NOT NULL")
            now = {Shard(lane, number): epoch for lane, number, epoch in rows}
        return all(now.get(shard, 0) > epoch for shard, epoch in held.items())

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

    @property
    def pid(self) -> int:
        return self.process.pid

    async def _listen(self) -> None:
        assert self.process.stdout is not None
        async for _ in self.process.stdout:
            self.entered += 1

    def send(self, sent: signal.Signals) -> None:
        """Send a signal past Popen, which would first look whether the process has ended, and lose how."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, sent)

    async def ended(self) -> None:
        """Wait until it has ended, but not for ever."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self.process.wait()
                await self.listening
        except TimeoutError:
            self.send(signal.SIGKILL)
            raise


@dataclass
class Nemesis:
    """Does harm to workers, each time when calls are in flight.

    Attributes:
        done: faults by kind.
        hits: how many of them found calls in flight in a process that they struck, at that moment.
        entries: how often a worker entered.
        replaced: how many pauses ended after others had claimed all that the worker held.
        beside: what may happen during a pause, by chance.
        held: by the pid of each that was stopped, what it held then, the last time.
    """

    database: Database
    socket: Path
    arguments: Sequence[str]
    chance: Random
    done: Counter[str] = field(default_factory=Counter)
    hits: int = 0
    entries: int = 0
    replaced: int = 0
    beside: Sequence[str] = BESIDE
    workers: list[Worker] = field(default_factory=list)
    held: dict[int, Held] = field(default_factory=dict)
    _stopped: Worker | None = None

    async def hire(self, count: int) -> None:
        for _ in range(count):
            self.workers.append(await Worker.start(*self.arguments))

    async def strike(self, kind: str) -> None:
        """Wait for a moment by chance, and then until calls are in flight; and do harm."""
        self.check_that_all_live()
        await asyncio.sleep(self.chance.uniform(0, 0.2))
        await self._some_are_busy()
        await self._do(kind)

    def check_that_all_live(self) -> None:
        for worker in self.workers:
            code = worker.process.returncode
            if code is not None:  # of itself: nothing that happens here may end an engine
                raise SystemExit(f"a worker ended with {code}")

    async def dismiss(self) -> None:
        """Let all leave."""
        for worker in self.workers:
            worker.send(signal.SIGTERM)
        for worker in tuple(self.workers):
            await self._ended(worker)

    # -- kinds of harm -------------------------------------------------------------------------------

    async def _do(self, kind: str) -> None:
        self.done[kind] += 1
        match kind:
            case "kill":
                await self._kill(await self._target())
            case "leave":
                await self._leave(await self._target())
            case "pause":
                await self._pause(await self._target())
            case "cut":
                names = await asyncio.to_thread(self.database.cut, self.chance.choice([0.3, 1.0]))
                await self._note(worker for worker in self.workers if application_name(worker.pid) in names)
            case _:
                await self._note(self.workers)
                await asyncio.to_thread(self.database.crash)

    async def _kill(self, worker: Worker) -> None:
        worker.send(signal.SIGKILL)
        await self._note([worker])
        await self._ended(worker)
        await self.hire(1)

    async def _leave(self, worker: Worker) -> None:
        """Let it leave in order, while another comes."""
        worker.send(signal.SIGTERM)
        await self._note([worker])
        await self.hire(1)
        await self._ended(worker)
        if worker.process.returncode != 0:
            raise SystemExit(f"a worker left with {worker.process.returncode}")

    async def _pause(self, worker: Worker) -> None:
        """Stop it beyond its lease."""
        worker.send(signal.SIGSTOP)
        self._stopped = worker
        try:
            await self._note([worker])
            held = self.held[worker.pid] = self.database.held_by(worker.pid)
            await asyncio.sleep(self.chance.uniform(*PAUSE) / 2)
            if (kind := self.chance.choice(self.beside)) != "nothing":
                await self._do(kind)
            await asyncio.sleep(self.chance.uniform(*PAUSE) / 2)
            self.replaced += bool(held) and self.database.are_others(held)
        finally:
            self._stopped = None
            worker.send(signal.SIGCONT)

    async def _ended(self, worker: Worker) -> None:
        await worker.ended()
        self.entries += worker.entered
        self.workers.remove(worker)

    # -- who has calls in flight ---------------------------------------------------------------------

    async def _some_are_busy(self) -> None:
        """Wait until calls are in flight, for ten seconds at most."""
        for _ in range(200):
            if await self._busy():
                return
            await asyncio.sleep(0.05)

    async def _target(self) -> Worker:
        """Return one of those who have calls in flight just now; of all where nobody has."""
        there = [worker for worker in self.workers if worker is not self._stopped]
        return self.chance.choice([worker for worker in await self._busy() if worker in there] or there)

    async def _note(self, struck: Iterable[Worker]) -> None:
        """Count a hit if one of those who are struck just now has calls in flight."""
        busy = await self._busy()
        self.hits += any(worker in busy for worker in struck)

    async def _busy(self) -> list[Worker]:
        in_flight = await self._in_flight()
        return [worker for worker in self.workers if in_flight[str(worker.pid)]]

    async def _in_flight(self) -> Counter[str]:
        try:
            reader, writer = await asyncio.open_unix_connection(self.socket)
        except OSError:  # many call at once
            return Counter()
        writer.write(b'{"what": "in flight"}\n')
        found = json.loads(await reader.readline())
        writer.close()
        return Counter(found)
