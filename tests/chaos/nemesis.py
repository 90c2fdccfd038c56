"""What goes wrong: workers killed, paused, leaving and cut off, their server's crashes; and who is hit by it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import psycopg

from saga_es.store.shards import Shard
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


@dataclass(eq=False)
class Worker:
    """A process of the nursery's.

    Attributes:
        entered: how often its engine did.
        gone: its exit code, once it has ended.
    """

    pid: int
    gone: asyncio.Future[int]
    entered: int = 0

    def send(self, sent: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, sent)

    async def ended(self) -> int:
        """Wait until it has ended, but not for ever, and return its exit code."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await asyncio.shield(self.gone)
        except TimeoutError:
            self.send(signal.SIGKILL)
            raise


class Nursery:
    """Bears workers, and hears what becomes of them.

    Args:
        arguments: of every worker.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self._arguments = arguments
        self._process: asyncio.subprocess.Process | None = None
        self._awaited: deque[asyncio.Future[Worker]] = deque()
        self._workers: dict[int, Worker] = {}

    async def bear(self) -> Worker:
        if self._process is None:
            command, pipe = (
                [sys.executable, "-m", "tests.chaos.nursery", *self._arguments],
                asyncio.subprocess.PIPE,
            )
            self._process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=pipe, stdout=pipe)
            self._listening = asyncio.create_task(self._listen(self._process))
        born: asyncio.Future[Worker] = asyncio.get_running_loop().create_future()
        self._awaited.append(born)
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        return await born

    async def close(self) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            await self._process.wait()
            await self._listening

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            match line.split():
                case [b"born", pid]:
                    gone = asyncio.get_running_loop().create_future()
                    worker = self._workers[int(pid)] = Worker(int(pid), gone)
                    self._awaited.popleft().set_result(worker)
                case [b"in", pid]:
                    self._of(pid).entered += 1
                case [b"gone", pid, code]:
                    self._of(pid).gone.set_result(int(code))

    def _of(self, pid: bytes) -> Worker:
        return self._workers[int(pid)]


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
    nursery: Nursery
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
            self.workers.append(await self.nursery.bear())

    async def strike(self, kind: str) -> None:
        """Wait for a moment by chance, and then until calls are in flight; and do harm."""
        self.check_that_all_live()
        await asyncio.sleep(self.chance.uniform(0, 0.2))
        await self._some_are_busy()
        await self._do(kind)

    def check_that_all_live(self) -> None:
        for worker in self.workers:
            if worker.gone.done():  # of itself: nothing that happens here may end an engine
                raise SystemExit(f"a worker ended with {worker.gone.result()}")

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
        code = await self._ended(worker)
        if code != 0:
            raise SystemExit(f"a worker left with {code}")

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

    async def _ended(self, worker: Worker) -> int:
        code = await worker.ended()
        self.entries += worker.entered
        self.workers.remove(worker)
        return code

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
