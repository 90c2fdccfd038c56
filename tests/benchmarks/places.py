"""Throw-away stores for a run, and the settings that make its figures mean something."""

from __future__ import annotations

import os
import platform
import sqlite3
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from saga_es.runtime.settings import Settings
from tests.support.build import IS_COMPILED


@dataclass(frozen=True)
class Place:
    """A store for saga_es and its peers.

    Attributes:
        name: memory, sqlite or postgres.
        address: what `SagaEngine` is given.
        stock: the environment of a stock `eventsourcing` application beside it.
        raw: the file, or the DSN, for raw SQL; empty where there is none.
        dbos: the URL of its system database; empty where it has none.
    """

    name: str
    address: str
    stock: Mapping[str, str]
    raw: str
    dbos: str
    said: str


def memory() -> Place:
    return Place("memory", "memory://", {"PERSISTENCE_MODULE": "eventsourcing.popo"}, "", "", "a dictionary")


def sqlite(folder: Path) -> Place:
    """Return files of their own for saga_es, the aggregate, raw SQL and DBOS."""
    stock = {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(folder / "stock.db")}
    said = f"SQLite {sqlite3.sqlite_version}: journal_mode=wal, synchronous=full, {folder}"
    raw, dbos = str(folder / "raw.db"), f"sqlite:///{folder / 'dbos.db'}"
    return Place("sqlite", f"sqlite:///{folder / 'sagas.db'}", stock, raw, dbos, said)


def postgres(dsn: str) -> Place:
    parts = conninfo_to_dict(dsn)
    stock = {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": str(parts["dbname"]),
        "POSTGRES_HOST": str(parts.get("host", "127.0.0.1")),
        "POSTGRES_PORT": str(parts.get("port", 5432)),
        "POSTGRES_USER": str(parts.get("user", "postgres")),
        "POSTGRES_PASSWORD": str(parts.get("password") or "none"),
    }
    names = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "wal_sync_method")
    with psycopg.connect(dsn) as db:
        shown = {name: str(db.execute(f"SHOW {name}").fetchone()[0]) for name in names}  # type: ignore[index]
    for name in ("fsync", "synchronous_commit"):
        if shown[name] != "on":
            raise SystemExit(f"{name} is {shown[name]}: figures of a store that loses commits say nothing")
    said = ", ".join(f"{name}={value}" for name, value in shown.items())
    dbos = f"postgresql+psycopg://{dsn.partition('://')[2]}"  # its tables are in a schema of their own
    return Place("postgres", dsn, stock, dsn, dbos, f"PostgreSQL {said}")


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="saga_es-") as name:
        yield Path(name)


def machine() -> str:
    """Return what the figures were measured on."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        model = next(
            (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model
        )
    packages = ", ".join(f"{name} {version(name)}" for name in ("eventsourcing", "pydantic", "psycopg"))
    ours = f"saga_es {'compiled' if IS_COMPILED else 'as Python'}"
    python = f"Python {platform.python_version()}"
    return f"{model}, {os.cpu_count()} cores, {platform.system()}, {python}, {ours}, {packages}"


def settings_said(settings: Settings) -> str:
    """Return an engine's settings in one line."""
    shown = {
        name: str(value)
        for name, value in settings
        if name.startswith(("max_in", "step_t", "drain", "poll", "thread"))
    }
    return "Settings: " + ", ".join(f"{name}={value}" for name, value in shown.items())


def all_of(stack: ExitStack, names: Sequence[str]) -> list[Place]:
    """Return the asked-for stores, empty; they go away with the stack."""
    made: list[Place] = []
    for name in names:
        match name:
            case "memory":
                made.append(memory())
            case "sqlite":
                made.append(sqlite(stack.enter_context(folder())))
            case "postgres":
                made.append(postgres(stack.enter_context(database())))
            case _:
                raise SystemExit(f"{name!r} is no store; say memory, sqlite or postgres")
    return made


@contextmanager
def database() -> Iterator[str]:
    """Make a database of its own on the server the tests use, and drop it."""
    server = os.environ.get("SAGA_ES_TEST_DSN", "postgresql://postgres@127.0.0.1:5432/postgres")
    name = f"saga_es_bench_{os.getpid()}_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(server, autocommit=True) as db:
        db.execute(f"CREATE DATABASE {name}")
        try:
            yield f"{server.rpartition('/')[0]}/{name}"
        finally:
            db.execute(f"DROP DATABASE {name} WITH (FORCE)")
