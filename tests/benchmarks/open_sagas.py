"""Ten thousand sagas of three steps, all open at once on SQLite: python -m tests.benchmarks.open_sagas

Each has done its first step and holds there, with somebody waiting for its outcome: for a signal (``--hold
signal``), or inside its second step, with all those attempts in flight (``--hold step``). Then all are let go, and
each has to succeed: by what its caller was told, by the index and by its log.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydantic import BaseModel

from saga_es import Saga, SagaEngine, Settings, signal, step
from saga_es.store.address import open_store
from saga_es.store.port import Store
from tests.benchmarks import places
from tests.benchmarks.memory import resident

MEGABYTES = 400
PAGE = 500
AT_ONCE = 512
HELD_AT = 4  # started, dispatched, succeeded, and then the signal awaited or the second step dispatched


class Trip(BaseModel):
    customer: str
    nights: int


class Booking(BaseModel):
    number: str


class Approval(BaseModel):
    by: str


class HeldByASignal(Saga[Trip], name="held by a signal"):
    @step
    async def book_plane(self, trip: Trip) -> Booking:
        return Booking(number=f"flight of {trip.customer}")

    @book_plane.compensation
    async def cancel_plane(self, trip: Trip, booking: Booking | None) -> None:
        pass

    approval = signal(Approval, needs=(book_plane,))

    @step(needs=(book_plane, approval))
    async def book_hotel(self, trip: Trip, flight: Booking, approval: Approval) -> Booking:
        return Booking(number=f"room after {flight.number}, said {approval.by}")

    @step(needs=(book_hotel,))
    async def buy_tickets(self, trip: Trip, room: Booking) -> Booking:
        return Booking(number=f"tickets after {room.number}")


class HeldInAStep(Saga[Trip], name="held in a step"):
    def __init__(self, gate: asyncio.Event) -> None:
        self.gate = gate
        self.inside = 0

    @step
    async def book_plane(self, trip: Trip) -> Booking:
        return Booking(number=f"flight of {trip.customer}")

    @book_plane.compensation
    async def cancel_plane(self, trip: Trip, booking: Booking | None) -> None:
        pass

    @step(needs=(book_plane,))
    async def book_hotel(self, trip: Trip, flight: Booking) -> Booking:
        self.inside += 1
        await self.gate.wait()
        return Booking(number=f"room after {flight.number}")

    @step(needs=(book_hotel,))
    async def buy_tickets(self, trip: Trip, room: Booking) -> Booking:
        return Booking(number=f"tickets after {room.number}")


@dataclass(frozen=True)
class Found:
    """What a run came to; memory in MB of a million bytes."""

    before: float
    open: float
    peak: float
    held: int
    told: Counter[str]
    index: Counter[str]
    logs: Counter[str]
    opened_in: float
    ended_in: float


async def run(sagas: int, hold: str, settings: Settings, folder: Path) -> Found:
    address, ids = f"sqlite:///{folder / 'sagas.db'}", [f"trip-{number:06d}" for number in range(sagas)]
    gate = asyncio.Event()
    in_step = HeldInAStep(gate)
    saga = in_step if hold == "step" else HeldByASignal()
    before, _ = resident()
    async with SagaEngine(address, sagas=[saga], settings=settings) as engine:
        with closing(open_store(address)) as store:
            began = time.perf_counter()
            await in_turn(
                partial(engine.start, saga, Trip(customer=each, nights=7), saga_id=each) for each in ids
            )
            waiting = [asyncio.create_task(engine.outcome(saga_id)) for saga_id in ids]
            while (held := await asyncio.to_thread(count_held, store, ids)) < sagas:
                await asyncio.sleep(0.1)
            while hold == "step" and in_step.inside < sagas:  # its dispatch is in the log before that
                await asyncio.sleep(0.01)
            opened, (now, _) = time.perf_counter(), resident()
            if hold == "step":
                gate.set()
            else:
                await in_turn(partial(engine.signal, each, "approval", Approval(by="ann")) for each in ids)
            told = Counter(outcome.status.value for outcome in await asyncio.gather(*waiting))
            ended, (_, peak) = time.perf_counter(), resident()
            index, logs = by_index(store), by_log(store, ids)
    return Found(before, now, peak, held, told, index, logs, opened - began, ended - opened)


async def in_turn(asks: Iterable[Callable[[], Awaitable[object]]]) -> None:
    """Make all these calls, so many at once."""
    left = iter(asks)

    async def keep_on() -> None:
        for ask in left:
            await ask()

    await asyncio.gather(*(keep_on() for _ in range(AT_ONCE)))


def count_held(store: Store, ids: Sequence[str]) -> int:
    """Return how many logs are where the saga holds."""
    held = 0
    for start in range(0, len(ids), PAGE):
        held += sum(len(stream) == HELD_AT for stream in store.streams(ids[start : start + PAGE]).values())
    return held


def by_index(store: Store) -> Counter[str]:
    """Return how many sagas the index shows in which status."""
    statuses: Counter[str] = Counter()
    after: str | None = None
    while True:
        page = store.find(limit=PAGE, after=after)
        statuses.update(item.status.value for item in page.items)
        if page.next is None:
            return statuses
        after = page.next


def by_log(store: Store, ids: Sequence[str]) -> Counter[str]:
    """Return how many logs end with which event."""
    ends: Counter[str] = Counter()
    for start in range(0, len(ids), PAGE):
        for stream in store.streams(ids[start : start + PAGE]).values():
            events = stream.events()
            ends[events[-1].type if events else "nothing"] += 1
    return ends


def report(found: Found, sagas: int) -> bool:
    """Print what was found; return whether no saga was lost and the memory held."""
    print(f"held open at once: {found.held} of {sagas}, within {found.opened_in:.1f} s")
    print(f"let go and ended within {found.ended_in:.1f} s")
    print(
        f"resident memory: {found.before:.0f} MB before, {found.open:.0f} MB with all open, {found.peak:.0f} MB at most"
    )
    print(f"told: {dict(found.told)}; index: {dict(found.index)}; logs end with: {dict(found.logs)}")
    kept = (
        found.held == sagas
        and found.told == found.index == Counter(succeeded=sagas)
        and found.logs == Counter(SagaSucceeded=sagas)
    )
    print(
        f"{'PASS' if kept else 'FAIL'}  no saga is lost: {found.logs['SagaSucceeded']} of {sagas} succeeded"
    )
    small = found.peak <= MEGABYTES
    print(f"{'PASS' if small else 'FAIL'}  resident memory at most {MEGABYTES} MB: {found.peak:.0f} MB")
    return kept and small


def main(given: Sequence[str] | None = None) -> int:
    """Measure, print, and return 0 if no saga was lost and the memory held."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.open_sagas", description=__doc__)
    parser.add_argument("--sagas", type=int, default=10_000)
    parser.add_argument("--hold", choices=["signal", "step", "both"], default="both", help="where they wait")
    asked = parser.parse_args(given)
    if asked.hold == "both":  # each in a process of its own, since memory at its highest is the process's
        command = [sys.executable, "-m", "tests.benchmarks.open_sagas", "--sagas", str(asked.sagas), "--hold"]
        return max(subprocess.run([*command, hold], check=False).returncode for hold in ("signal", "step"))
    settings = Settings(max_in_flight=max(1024, asked.sagas)) if asked.hold == "step" else Settings()
    print(f"{asked.sagas} sagas of three steps, held by a {asked.hold}, on SQLite")
    print(places.machine(), places.settings_said(settings), sep="\n", flush=True)
    with places.folder() as folder:
        found = asyncio.run(run(asked.sagas, asked.hold, settings, folder))
    passed = report(found, asked.sagas)
    print(flush=True)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
