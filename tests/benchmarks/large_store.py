"""A store with a million finished and ten thousand open sagas: python -m tests.benchmarks.large_store

An engine, or several at the same moment, each in a process of its own, enter it. Measured are how long after that the
first step is called, when all open sagas are taken up, and how much memory it takes; then all of the open ones have to
end, and none may be called twice.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime

import psycopg
from pydantic import BaseModel

from saga_es import Saga, SagaEngine, Settings, step
from saga_es.authoring.bindings import bindings_of
from saga_es.store.address import open_store
from saga_es.store.encoding import StoredRow
from tests.benchmarks import places
from tests.benchmarks.memory import resident
from tests.benchmarks.recording import log_of

FIRST_SECONDS, ALL_SECONDS, MEGABYTES = 2.0, 60.0, 300
OPEN_AT = 4  # started, and three steps dispatched
TEMPLATE = "template"

# Both databases have replace(). A saga's id is in the keys of its calls.
COLUMNS = "originator_id, originator_version, topic, state"
INDEXED = "saga_id, definition, definition_version, status, ending, is_open, started_at, changed_at"


class Trip(BaseModel):
    customer: str
    nights: int


class Package(Saga[Trip], name="package"):
    """Three steps in parallel that do nothing."""

    def __init__(self, called: Callable[[], None]) -> None:
        self.called = called

    @step
    async def book_plane(self, trip: Trip) -> str:
        self.called()
        return "LIS-GIG"

    @step
    async def book_hotel(self, trip: Trip) -> str:
        self.called()
        return "room 12"

    @step
    async def buy_tickets(self, trip: Trip) -> str:
        self.called()
        return "Maracanã"


# -- making the store -----------------------------------------------------------------------------------


def fill(place: places.Place, finished: int, still_open: int) -> None:
    events = asyncio.run(log_of(Package(lambda: None), Trip(customer="Maria", nights=7), TEMPLATE))
    with closing(open_store(place.address, migrate=True)) as store:
        store.record_definition(bindings_of(Package(lambda: None)).definition)
    write = Postgres(place.raw) if place.name == "postgres" else Sqlite(place.address)
    with closing(write):
        write.sagas("done", finished, events, status="succeeded")
        write.sagas("open", still_open, events[:OPEN_AT], status="running")
        write.settle()


class Postgres:
    """Writes sagas by the hundred thousand, without our recorder."""

    def __init__(self, dsn: str) -> None:
        self._db = psycopg.connect(dsn, autocommit=True)

    def sagas(self, prefix: str, count: int, events: Sequence[StoredRow], *, status: str) -> None:
        topics = [topic for _, _, topic, _ in events]
        states = [state.decode() for _, _, _, state in events]
        self._db.execute(
            f"INSERT INTO saga_log ({COLUMNS}) SELECT id, version, topic,"
            f" convert_to(replace(state, '{TEMPLATE}', id), 'UTF8')"
            " FROM (SELECT %s || '-' || lpad(n::text, 8, '0') AS id FROM generate_series(1, %s) AS n) AS sagas,"
            " unnest(%s::text[], %s::text[]) WITH ORDINALITY AS events (topic, state, version)",
            (prefix, count, topics, states),
        )
        lane = bindings_of(Package(lambda: None)).definition.lane
        self._db.execute(
            f"INSERT INTO saga_index ({INDEXED}, lane, shard)"
            " SELECT id, 'package', 1, %s, %s, %s, %s + n, %s + n, %s, get_byte(decode(md5(id), 'hex'), 0) FROM"
            " (SELECT n, %s || '-' || lpad(n::text, 8, '0') AS id FROM generate_series(1, %s) AS n) AS sagas",
            (*shown(status), lane, prefix, count),
        )

    def settle(self) -> None:
        """As a server left to itself does after a while."""
        self._db.execute("VACUUM ANALYZE")

    def close(self) -> None:
        self._db.close()


class Sqlite:
    def __init__(self, address: str) -> None:
        self._db = sqlite3.connect(address.removeprefix("sqlite:///"), isolation_level=None)

    def sagas(self, prefix: str, count: int, events: Sequence[StoredRow], *, status: str) -> None:
        templates = [
            (version, topic, state.partition(TEMPLATE.encode())) for _, version, topic, state in events
        ]
        ids = [f"{prefix}-{number:08d}" for number in range(1, count + 1)]
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany(
            f"INSERT INTO saga_log ({COLUMNS}) VALUES (?, ?, ?, ?)",
            (
                (saga_id, version, topic, b"".join((before, saga_id.encode() if mark else b"", after)))
                for saga_id in ids
                for version, topic, (before, mark, after) in templates
            ),
        )
        self._db.executemany(
            f"INSERT INTO saga_index ({INDEXED}) VALUES (?, 'package', 1, ?, ?, ?, ?, ?)",
            ((saga_id, *shown(status)) for saga_id in ids),
        )
        self._db.execute("COMMIT")

    def settle(self) -> None:
        self._db.execute("ANALYZE")

    def close(self) -> None:
        self._db.close()


def shown(status: str) -> tuple[str, str | None, bool, int, int]:
    """Return what the index shows of such a saga: status, ending, whether it is open, two instants."""
    at = int(datetime(2026, 11, 24, 5, tzinfo=UTC).timestamp() * 1_000_000)
    is_open = status == "running"
    return status, None if is_open else status, is_open, at, at


# -- entering it ----------------------------------------------------------------------------------------


async def enter(address: str) -> dict[str, float]:
    """Return seconds to the first call, to the end of recovery and to the end of all, and megabytes."""
    first: list[float] = []
    made = 0

    def called() -> None:
        nonlocal made
        made += 1
        if not first:
            first.append(time.perf_counter())

    before, _ = resident()
    began = time.perf_counter()
    async with SagaEngine(address, sagas=[Package(called)], settings=Settings()) as engine:
        entered = time.perf_counter()
        while (await engine.find(status="running", limit=1)).items:
            await asyncio.sleep(0.1)
        ended = time.perf_counter()
    return {
        "first": first[0] - began if first else float("inf"),
        "entered": entered - began,
        "ended": ended - began,
        "calls": made,
        "before": before,
        "peak": resident()[1],
    }


def main(given: Sequence[str] | None = None) -> int:
    """Measure, print, and return 0 if every bar is reached, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.large_store", description=__doc__)
    parser.add_argument("--finished", type=int, default=1_000_000)
    parser.add_argument("--open", type=int, default=10_000)
    parser.add_argument("--store", choices=["sqlite", "postgres"], default="postgres")
    parser.add_argument("--workers", type=int, default=1, help="engines that enter, on PostgreSQL")
    parser.add_argument("--enter", metavar="ADDRESS", help=argparse.SUPPRESS)
    asked = parser.parse_args(given)
    if asked.enter:
        print(json.dumps(asyncio.run(enter(asked.enter))))
        return 0
    with ExitStack() as stack:
        (place,) = places.all_of(stack, [asked.store])
        print(places.machine(), place.said, places.settings_said(Settings()), sep="\n", flush=True)
        began = time.perf_counter()
        fill(place, asked.finished, asked.open)
        print(f"{asked.finished} finished, {asked.open} open, written in {time.perf_counter() - began:.0f} s")
        command = [sys.executable, "-m", "tests.benchmarks.large_store", "--enter", place.address]
        entering = [
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(asked.workers)
        ]
        found = [json.loads(process.communicate()[0]) for process in entering]
    return report(found, 3 * asked.open)


def report(found: Sequence[dict[str, float]], calls: int) -> int:
    """Print what the workers found, the worst of each, and return 0 if every bar is reached, else 1."""
    ended, before, made = (
        of([it[name] for it in found]) for of, name in ((max, "ended"), (max, "before"), (sum, "calls"))
    )
    each = ", ".join(f"{it['calls']:g}" for it in found)
    print(f"all ended after {ended:.1f} s; {before:.0f} MB before; calls by each worker: {each}")
    bars = (
        ("first call after", min(it["first"] for it in found), FIRST_SECONDS, "s"),
        ("all taken up after", max(it["entered"] for it in found), ALL_SECONDS, "s"),
        ("resident memory", max(it["peak"] for it in found), MEGABYTES, "MB"),
    )
    for what, value, most, unit in bars:
        print(f"{'PASS' if value <= most else 'FAIL'}  {what}: {value:.2f} {unit} (at most {most:g})")
    print(f"{'PASS' if made == calls else 'FAIL'}  calls: {made:g} of {calls}")
    return 0 if all(value <= most for _, value, most, _ in bars) and made == calls else 1


if __name__ == "__main__":
    sys.exit(main())
