"""The tables of a store: made by many at once, made whole or not at all, and of a version that is checked."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner
from eventsourcing.persistence import StoredEvent

from saga_es import SagaClient, SagaEngine, Settings, define
from saga_es.cli import main
from saga_es.errors import StoreSchemaError, StoreUnavailable
from saga_es.store.address import environment, open_store
from saga_es.store.schema import steps_from
from tests.support.stores import Place, history, put

ROOT = Path(__file__).parents[2]
PROCESSES = 8
PATIENCE = 60  # seconds
SQLITE_ROUNDS, POSTGRES_ROUNDS = 25, 100

TABLES = {
    "saga_log": ["originator_id", "originator_version", "topic", "state", "notification_id"],
    "saga_index": [
        "saga_id", "definition", "definition_version", "status", "ending", "parked", "is_open", "started_at",
        "changed_at",
    ],
    "saga_schema": ["version"],
}  # fmt: skip
INBOX = {
    "saga_inbox": [
        "number", "saga_id", "definition", "definition_version", "input", "asked_at", "error", "failed_at",
    ],
}  # fmt: skip
CREW = {
    "saga_workers": [
        "worker", "host", "machine", "pid", "began", "lanes", "lease", "entered_at", "heard_at",
    ],
    "saga_lanes": ["lane", "definition", "definition_version"],
    "saga_shards": ["lane", "shard", "owner", "epoch"],
    "saga_calls": ["number", "lane", "shard", "saga_id", "version"],
    "saga_index": [*TABLES["saga_index"], "lane", "shard"],
}  # fmt: skip
INDEXES = {
    "saga_index_open",
    "saga_index_parked",
    "saga_index_status",
    "saga_index_definition",
    "saga_index_started",
}


async def say(word: str) -> str:
    return word


SAYING = define("saying", str).step(say)

# -- many at once ------------------------------------------------------------------------------------


@contextmanager
def migrators(count: int) -> Iterator[list[subprocess.Popen[str]]]:
    """Start processes that stay for all rounds: their start takes longer than what they are asked to do."""
    command = [sys.executable, "-W", "error", "-m", "tests.integration.migrating_process"]
    with ExitStack() as stack:
        started = [
            stack.enter_context(
                subprocess.Popen(
                    command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
                )
            )
            for _ in range(count)
        ]
        for process in started:
            stack.callback(process.kill)
        assert [process.stdout.readline() for process in started] == ["ready\n"] * count
        yield started


def all_at_once(processes: list[subprocess.Popen[str]], store: Mapping[str, str]) -> set[str]:
    """Let all migrate the store; return what they say. They wait for the line, so that this releases them together."""
    line = json.dumps(dict(store)) + "\n"
    for process in processes:
        process.stdin.write(line)
    return {process.stdout.readline().strip() for process in processes}


@pytest.mark.promise("field.Settings.migrate")
def test_eight_at_an_empty_schema_of_postgresql(postgres_url: str, capsys):
    begun = time.monotonic()
    schemas = [f"round_{n}" for n in range(POSTGRES_ROUNDS)]
    with migrators(PROCESSES) as processes:
        said = [
            all_at_once(processes, {**environment(postgres_url), "POSTGRES_SCHEMA": schema})
            for schema in schemas
        ]
    took = time.monotonic() - begun
    with capsys.disabled():
        print(f"\n{PROCESSES} processes at once made the tables {POSTGRES_ROUNDS} times in {took:.1f} s")
    assert said == [{"done"}] * POSTGRES_ROUNDS
    with psycopg.connect(postgres_url) as db:
        for schema in schemas:
            assert tables_of(db, schema) == TABLES | INBOX | CREW
            assert indexes_of(db, schema) >= INDEXES
            assert db.execute(f"SELECT version FROM {schema}.saga_schema").fetchall() == [(3,)]
    store = open_store({**environment(postgres_url), "POSTGRES_SCHEMA": schemas[-1]})
    put(store, "trip-42", history(3))
    assert store.read("trip-42") == history(3)
    store.close()


def test_eight_at_an_empty_database_of_postgresql(postgres_url: str):
    with migrators(PROCESSES) as processes:
        assert all_at_once(processes, environment(postgres_url)) == {"done"}
        assert all_at_once(processes, environment(postgres_url)) == {"done"}  # and again, where all is there
    with psycopg.connect(postgres_url) as db:
        assert tables_of(db, "public") == TABLES | INBOX | CREW
        assert db.execute("SELECT version FROM saga_schema").fetchall() == [(3,)]


@pytest.mark.promise("field.Settings.migrate")
def test_eight_at_an_empty_file_of_sqlite(tmp_path: Path):
    paths = [tmp_path / f"round_{n}.db" for n in range(SQLITE_ROUNDS)]
    with migrators(PROCESSES) as processes:
        said = [all_at_once(processes, environment(f"sqlite:///{path}")) for path in paths]
    assert said == [{"done"}] * SQLITE_ROUNDS
    for path in paths:
        assert things_in(path) == {"table": {"saga_log", "saga_index", "saga_schema"}, "index": INDEXES}
        with closing(sqlite3.connect(path)) as db:
            assert db.execute("SELECT version FROM saga_schema").fetchall() == [(3,)]
            (mode,) = db.execute("PRAGMA journal_mode").fetchone()
            assert mode == "wal"


def tables_of(db: psycopg.Connection, schema: str) -> dict[str, list[str]]:
    rows = db.execute(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = %s"
        " ORDER BY table_name, ordinal_position",
        (schema,),
    ).fetchall()
    return {table: [column for of, column in rows if of == table] for table in dict(rows)}


def indexes_of(db: psycopg.Connection, schema: str) -> set[str]:
    rows = db.execute("SELECT indexname FROM pg_indexes WHERE schemaname = %s", (schema,)).fetchall()
    return {name for (name,) in rows}


def things_in(path: Path) -> dict[str, set[str]]:
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'").fetchall()
    return {kind: {name for of, name in rows if of == kind} for kind, _ in rows}


# -- whole or not at all -----------------------------------------------------------------------------


def test_a_migration_that_fails_half_way_leaves_nothing(postgres_url: str):
    address = {**environment(postgres_url), "POSTGRES_SCHEMA": "ours"}
    with psycopg.connect(postgres_url, autocommit=True) as db:
        db.execute("CREATE SCHEMA ours")
        db.execute("CREATE TABLE ours.saga_index_started (n int)")  # the name of the last index
        with pytest.raises(StoreUnavailable) as error:
            open_store(address, migrate=True)
        assert "saga_index_started" in error.value.problem
        assert tables_of(db, "ours") == {"saga_index_started": ["n"]}
        db.execute("DROP TABLE ours.saga_index_started")
        open_store(address, migrate=True).close()
        assert tables_of(db, "ours") == TABLES | INBOX | CREW


def test_a_migration_of_a_file_that_fails_half_way_leaves_nothing(tmp_path: Path):
    path = tmp_path / "sagas.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE saga_index_started (n int)")
    with pytest.raises(StoreUnavailable) as error:
        open_store(f"sqlite:///{path}")
    assert "saga_index_started" in error.value.problem
    assert things_in(path) == {"table": {"saga_index_started"}}
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP TABLE saga_index_started")
    open_store(f"sqlite:///{path}").close()
    assert things_in(path)["table"] == set(TABLES)


def test_a_process_killed_half_way_leaves_nothing_and_holds_up_nobody(postgres_url: str):
    address = {**environment(postgres_url), "POSTGRES_SCHEMA": "ours"}
    with ExitStack() as stack:
        (killed,) = stack.enter_context(migrators(1))
        blocking = stack.enter_context(psycopg.connect(postgres_url))
        blocking.execute("CREATE SCHEMA ours")
        blocking.commit()
        blocking.execute("CREATE TABLE ours.saga_index_started (n int)")  # seen by none, waited for by all
        killed.stdin.write(json.dumps(address) + "\n")
        watcher = stack.enter_context(psycopg.connect(postgres_url, autocommit=True))
        waited_for(watcher, "wait_event_type = 'Lock' AND query LIKE 'CREATE INDEX%'", True)
        killed.kill()
        killed.wait(PATIENCE)
        blocking.rollback()
        waited_for(watcher, "application_name = 'saga_es'", False)
        assert tables_of(watcher, "ours") == {}
        open_store(address, migrate=True).close()
        assert tables_of(watcher, "ours") == TABLES | INBOX | CREW


def waited_for(db: psycopg.Connection, sessions: str, are_there: bool) -> None:
    """Ask the server until there are such sessions, or none."""
    until = time.monotonic() + PATIENCE
    query = f"SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND {sessions}"
    while db.execute(query).fetchone() != (are_there,):
        assert time.monotonic() < until, db.execute("SELECT state, query FROM pg_stat_activity").fetchall()


# -- the version -------------------------------------------------------------------------------------


def test_a_store_is_brought_up_to_date_step_by_step():
    steps = (("make a", "make b"), ("alter a",), ("alter b", "alter c"))
    assert steps_from(None, steps) == ("make a", "make b", "alter a", "alter b", "alter c")
    assert steps_from(1, steps) == ("alter a", "alter b", "alter c")
    assert steps_from(2, steps) == ("alter b", "alter c")
    assert steps_from(3, steps) == ()
    assert steps_from(4, steps) == ()  # a newer one is left alone


async def entered(kind: type[SagaEngine | SagaClient], store: str, migrate: bool | None) -> None:
    async with kind(store, sagas=[SAYING], settings=Settings(migrate=migrate)):
        pass


def open_in_every_way(store: str, migrate: bool | None) -> Iterator[Exception | None]:
    """Open the store directly, by an engine and by a client; yield what was raised."""
    for way in (
        lambda: open_store(store, migrate=migrate).close(),
        lambda: asyncio.run(entered(SagaEngine, store, migrate)),
        lambda: asyncio.run(entered(SagaClient, store, migrate)),
    ):
        try:
            way()
        except StoreSchemaError as error:
            yield error
        else:
            yield None


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'sagas.db'}"
    return request.getfixturevalue("postgres_url")


def execute(url: str, statement: str) -> None:
    if url.startswith("sqlite:///"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as db, db:
            db.execute(statement)
    else:
        with psycopg.connect(url) as db:
            db.execute(statement)


@pytest.mark.promise("error.StoreSchemaError", "field.Settings.migrate", "call.SagaEngine", "call.SagaClient")
def test_a_store_without_tables_is_refused(url: str):
    for error in open_in_every_way(url, False):
        assert isinstance(error, StoreSchemaError)
        assert (error.found, error.expected) == (None, 3)
        assert error.store == (url if url.startswith("sqlite") else error.store)
    assert list(open_in_every_way(url, True)) == [None, None, None]
    assert list(open_in_every_way(url, False)) == [None, None, None]


@pytest.mark.promise("field.Settings.migrate", "call.SagaEngine")
def test_by_default_a_file_is_migrated_and_a_database_is_not(url: str):
    for error in open_in_every_way(url, None):
        if url.startswith("sqlite"):
            assert error is None
        else:
            assert isinstance(error, StoreSchemaError)
            assert (error.found, error.expected) == (None, 3)


@pytest.mark.promise("error.StoreSchemaError")
@pytest.mark.parametrize("migrate", [False, True, None])
def test_a_newer_store_is_refused_and_left_alone(url: str, migrate: bool | None):
    store = open_store(url, migrate=True)
    put(store, "trip-42", history(2))
    store.close()
    execute(url, "UPDATE saga_schema SET version = 4")
    for error in open_in_every_way(url, migrate):
        assert isinstance(error, StoreSchemaError)
        assert (error.found, error.expected) == (4, 3)
    execute(url, "UPDATE saga_schema SET version = 3")
    store = open_store(url)
    assert store.read("trip-42") == history(2)
    store.close()


@pytest.mark.promise("error.StoreSchemaError")
def test_an_older_store_is_refused(url: str):
    open_store(url, migrate=True).close()
    execute(url, "UPDATE saga_schema SET version = 0")
    for error in open_in_every_way(url, False):
        assert isinstance(error, StoreSchemaError)
        assert (error.found, error.expected) == (0, 3)


@pytest.mark.promise("cli.migrate", "error.StoreSchemaError")
def test_the_command_makes_a_databases_tables(postgres_url: str):
    reading = CliRunner().invoke(main, ["--store", postgres_url, "list"])
    assert reading.exit_code != 0
    assert "migrate" in reading.stderr
    for _ in range(2):
        assert CliRunner().invoke(main, ["--store", postgres_url, "migrate"]).exit_code == 0
    reading = CliRunner().invoke(main, ["--store", postgres_url, "list"])
    assert (reading.exit_code, reading.stdout) == (0, "No sagas here.\n")
    assert list(open_in_every_way(postgres_url, None)) == [None, None, None]


def test_migrating_again_keeps_what_is_there(shared_place: Place):
    put(shared_place.open(), "trip-42", history(3))
    again = shared_place.open(migrate=True)
    assert again.read("trip-42") == history(3)
    again.recorder.insert_events([StoredEvent("trip-43", 1, "SagaSucceeded", b"{}")])
    assert again.position() == 4
