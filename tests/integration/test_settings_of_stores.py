"""What the databases are told: how durable a commit is, in how few statements, and which of their means stay unused."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryFile

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from saga_es import Attempt, Rejected, Retry, SagaEngine, define
from saga_es.errors import InvalidInput, StoreUnavailable
from saga_es.store.address import environment, open_store
from saga_es.store.application import SagaApplication
from saga_es.store.recorders.postgres import SagaPostgresFactory
from tests.support.stores import ENDED, NOON, PLAN, history, prepare, put, summary

PATIENCE = timedelta(seconds=60)

# -- durable -----------------------------------------------------------------------------------------

FULL = 2  # SQLite's number for synchronous=FULL


def test_what_writes_to_a_file_is_in_wal_mode_and_fully_synchronous(tmp_path: Path):
    path = tmp_path / "sagas.db"
    store = open_store(f"sqlite:///{path}")
    assert told(store.recorder._writer) == ("wal", FULL)
    put(store, "trip-42", history(1))
    assert told(store.recorder._writer) == ("wal", FULL)
    with closing(sqlite3.connect(path)) as db:
        (mode,) = db.execute("PRAGMA journal_mode").fetchone()
        assert mode == "wal"
    store.close()


def test_so_is_the_connection_that_follows_a_broken_one(tmp_path: Path):
    path = tmp_path / "sagas.db"
    store = open_store({**environment(f"sqlite:///{path}"), "SQLITE_LOCK_TIMEOUT": "1"})
    first = store.recorder._writer
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable):
            put(store, "trip-42", history(1))
        other.execute("ROLLBACK")
    put(store, "trip-42", history(1))
    assert store.recorder._writer is not first
    assert told(store.recorder._writer) == ("wal", FULL)
    store.close()


def told(writer: sqlite3.Connection) -> tuple[str, int]:
    (mode,), (synchronous,) = (
        writer.execute(f"PRAGMA {name}").fetchone() for name in ("journal_mode", "synchronous")
    )
    return mode, synchronous


@pytest.mark.parametrize("by", ["database", "role", "address"])
@pytest.mark.parametrize(
    ("default", "kept"), [("off", "on"), ("local", "on"), ("remote_apply", "remote_apply")]
)
def test_commits_are_synchronous_whatever_the_default_is(postgres_url: str, by: str, default: str, kept: str):
    url = postgres_url
    with psycopg.connect(postgres_url, autocommit=True) as db:
        names = {
            "database": Identifier(db.info.dbname),
            "role": Identifier(db.info.user),
            "value": SQL(default),
        }
        if by == "database":
            db.execute(SQL("ALTER DATABASE {database} SET synchronous_commit TO {value}").format(**names))
        elif by == "role":
            db.execute(
                SQL("ALTER ROLE {role} IN DATABASE {database} SET synchronous_commit TO {value}").format(
                    **names
                )
            )
        else:
            url += f"?options=-csynchronous_commit%3D{default}"
    with psycopg.connect(url) as db:
        assert db.execute("SHOW synchronous_commit").fetchone() == (default,)
    store = open_store(url, migrate=True)
    put(store, "trip-42", history(1))
    store.claim()
    with store.recorder.datastore.get_connection() as reading:
        connections = (store.recorder._writer, reading, store.recorder._place._session)
        said = [list(it.execute("SHOW synchronous_commit").fetchone().values()) for it in connections]
    assert said == [[kept]] * 3
    store.close()


# -- one statement -----------------------------------------------------------------------------------


def batch(store: SagaApplication, size: int) -> list:
    return [
        prepare(
            store,
            f"trip-{n}",
            expected_version=0,
            events=history(3),
            summary=summary(f"trip-{n}"),
            is_open=True,
        )
        for n in range(size)
    ]


@contextmanager
def messages(connection: psycopg.Connection) -> Iterator[list[str]]:
    """Give what we say to the server meanwhile, by libpq's own account."""
    said: list[str] = []
    with TemporaryFile("w+") as trace:
        connection.pgconn.trace(trace.fileno())
        yield said
        connection.pgconn.untrace()
        trace.seek(0)
        lines = [line.split("\t") for line in trace.read().splitlines()]
    said += [fields[3] for fields in lines if len(fields) > 3 and fields[1] == "F"]


def test_a_batch_is_one_statement_to_postgresql(postgres_url: str):
    store = open_store(postgres_url, migrate=True)
    put(store, "first", history(1))  # connects, and has the statement prepared
    with messages(store.recorder._writer) as said:
        store.append(batch(store, 200))
    assert said == ["Bind", "Describe", "Execute", "Sync"]
    assert [len(store.read(f"trip-{n}")) for n in (0, 199)] == [3, 3]
    assert len(store.find(limit=500).items) == 201
    store.close()


def test_an_append_is_planned_once_by_postgresql(postgres_url: str):
    store = open_store(postgres_url, migrate=True)
    for n in range(8):
        put(store, f"first-{n}", history(1))
    for size in (200, 1, 30):
        store.append([it for it in batch(store, size) if not store.read(it.saga_id)])
    writer = store.recorder._writer

    plans = writer.execute(
        "SELECT statement, generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE 'WITH%'"
    ).fetchall()
    assert plans
    assert [plan["custom_plans"] for plan in plans] == [0] * len(plans)
    store.close()


def test_a_batch_is_one_transaction_to_sqlite(tmp_path: Path):
    store = open_store(f"sqlite:///{tmp_path / 'sagas.db'}")
    put(store, "first", history(1))
    said: list[str] = []
    store.recorder._writer.set_trace_callback(said.append)
    store.append(batch(store, 200))
    store.recorder._writer.set_trace_callback(None)
    begun_and_ended = [it for it in said if it.split()[0] in ("BEGIN", "COMMIT", "ROLLBACK")]
    assert begun_and_ended == ["BEGIN IMMEDIATE", "COMMIT"]
    assert [it.split()[0] for it in said] == ["BEGIN", "INSERT", "INSERT", "INSERT", "INSERT", "COMMIT"]
    assert len(store.find(limit=500).items) == 201
    store.close()


# -- the index is written when what it shows changes --------------------------------------------------

WATCHED = "status, ending, parked, is_open, changed_at"
NEW = ", ".join(f"NEW.{name}" for name in WATCHED.split(", "))
ON_SQLITE = [
    "CREATE TABLE writes (status, ending, parked, is_open, changed_at)",
    *(
        f"CREATE TRIGGER {verb}_seen AFTER {verb} ON saga_index BEGIN INSERT INTO writes VALUES ({NEW}); END"
        for verb in ("INSERT", "UPDATE")
    ),
]
ON_POSTGRES = [
    "CREATE TABLE writes (status text, ending text, parked text, is_open boolean, changed_at bigint)",
    f"""CREATE FUNCTION seen() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN INSERT INTO writes VALUES ({NEW}); RETURN NULL; END $$""",
    "CREATE TRIGGER seen AFTER INSERT OR UPDATE ON saga_index FOR EACH ROW EXECUTE FUNCTION seen()",
]


class Watched:
    """A store with triggers that note down each write to its index."""

    def __init__(self, url: str) -> None:
        self.url = url
        open_store(url, migrate=True).close()
        self.ask(*(ON_SQLITE if url.startswith("sqlite") else ON_POSTGRES))

    def ask(self, *statements: str) -> list[tuple]:
        if self.url.startswith("sqlite"):
            with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"))) as db, db:
                *_, last = [db.execute(statement) for statement in statements]
                return last.fetchall()
        with psycopg.connect(self.url) as db:
            *_, last = [db.execute(statement) for statement in statements]
            return last.fetchall() if last.description else []

    def writes(self) -> list[tuple]:
        """Return each write's status, ending, parked and is_open."""
        rows = self.ask("SELECT status, ending, parked, is_open FROM writes ORDER BY changed_at")
        return [(*shown, bool(is_open)) for *shown, is_open in rows]

    def times(self) -> list[int]:
        return [at for (at,) in self.ask("SELECT changed_at FROM writes ORDER BY changed_at")]


@pytest.fixture(params=["sqlite", "postgresql"])
def watched(request: pytest.FixtureRequest, tmp_path: Path) -> Watched:
    if request.param == "sqlite":
        return Watched(f"sqlite:///{tmp_path / 'sagas.db'}")
    return Watched(request.getfixturevalue("postgres_url"))


async def act(word: str, *_: int) -> int:
    return 1


async def undo(word: str, result: int | None) -> None:
    return None


async def refuse(word: str, *_: int, attempt: Attempt) -> int:
    if attempt.number < 3:
        raise ConnectionError("again")
    raise Rejected("no rooms")


GOOD = define("good", str)
for _n in range(6):
    GOOD = GOOD.step(act, undo=undo, name=f"step_{_n}", needs=[f"step_{_n - 1}"] if _n else [])
BAD = GOOD.step(
    refuse,
    undo=undo,
    name="refuse",
    needs=["step_5"],
    retry=Retry(attempts=3, delay=timedelta(milliseconds=1)),
)


def ran(store: Watched, saga: object) -> list[int]:
    """Run a saga; return the instants of its events, in microseconds since 1970."""

    async def run() -> list[int]:
        async with SagaEngine(store.url, sagas=[saga]) as engine:
            await engine.run(saga, "Maria", saga_id="trip-42", timeout=PATIENCE)
            events = (await engine.history("trip-42")).events
            return [int(event.at.timestamp()) * 1_000_000 + event.at.microsecond for event in events]

    return asyncio.run(run())


def test_a_run_writes_a_saga_s_row_once_for_each_thing_it_shows(watched: Watched):
    at = ran(watched, GOOD)
    assert len(at) == 1 + 2 * 6 + 1
    assert watched.writes()[-1] == ("succeeded", "succeeded", None, False)
    assert without_the_first(watched.writes()) == [
        ("running", None, None, True),
        ("succeeded", "succeeded", None, False),
    ]
    assert watched.times()[-1] == at[-1]
    assert watched.ask("SELECT changed_at FROM saga_index") == [(at[-1],)]


def test_so_does_one_that_fails(watched: Watched):
    at = ran(watched, BAD)
    assert len(at) > 25
    assert without_the_first(watched.writes()) == [
        ("running", None, None, True),
        ("compensating", None, None, True),
        ("failed", "compensated", None, False),
    ]
    assert watched.ask("SELECT changed_at FROM saga_index") == [(at[-1],)]


def without_the_first(writes: list[tuple]) -> list[tuple]:
    """Return the writes without the first where that is "pending", which may be in one commit with what follows."""
    return writes[1:] if writes[0] == ("pending", None, None, True) else writes


def test_what_is_not_told_or_not_new_is_not_written(watched: Watched):
    store = open_store(watched.url)
    put(store, "trip-42", history(1))
    for version in (2, 3):
        events = history(3)[version - 1 : version]
        store.append(
            [
                prepare(
                    store, "trip-42", expected_version=version - 1, events=events, summary=None, is_open=True
                )
            ]
        )
    for _ in range(2):
        store.set_parked("trip-42", "no bank", at=NOON + timedelta(hours=1))
    put(store, "trip-42", history(4)[3:], is_open=False, changed_at=NOON + timedelta(hours=2), **ENDED)
    assert watched.writes() == [
        ("running", None, None, True),
        ("running", None, "no bank", True),
        ("succeeded", "succeeded", None, False),
    ]
    store.close()


def test_a_row_that_is_not_written_keeps_its_transaction(postgres_url: str):
    store = open_store(postgres_url, migrate=True)
    put(store, "trip-42", history(1))
    with psycopg.connect(postgres_url, autocommit=True) as db:
        before = db.execute("SELECT xmin FROM saga_index").fetchone()
        store.append(
            [prepare(store, "trip-42", expected_version=1, events=history(2)[1:], summary=None, is_open=True)]
        )
        store.set_parked("trip-42", None, at=NOON)
        assert db.execute("SELECT xmin FROM saga_index").fetchone() == before
        put(store, "trip-42", history(3)[2:])
        assert db.execute("SELECT xmin FROM saga_index").fetchone() != before
    store.close()


# -- the database functions of `eventsourcing` lose notifications, and cross applications --------------


@pytest.mark.promise("error.InvalidInput")
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.parametrize("yes", ["y", "yes", "t", "true", "on", "1", "True", "YES", " on ", "enable"])
def test_database_functions_are_refused(tmp_path: Path, kind: str, yes: str):
    url = f"sqlite:///{tmp_path / 'sagas.db'}" if kind == "sqlite" else "postgresql://u@127.0.0.1:1/nowhere"
    for name in ("POSTGRES_ENABLE_DB_FUNCTIONS", "SAGA_ES_POSTGRES_ENABLE_DB_FUNCTIONS"):
        with pytest.raises(InvalidInput) as error:
            open_store({**environment(url), name: yes})
        assert error.value.what == "POSTGRES_ENABLE_DB_FUNCTIONS"
        assert "lose notifications" in error.value.problem


def test_they_are_refused_in_the_process_s_environment_too(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SAGA_ES_POSTGRES_ENABLE_DB_FUNCTIONS", "y")
    with pytest.raises(InvalidInput) as error:
        open_store(postgres_url, migrate=True)
    assert error.value.what == "POSTGRES_ENABLE_DB_FUNCTIONS"


@pytest.mark.parametrize("no", ["", "n", "no", "f", "false", "off", "0"])
def test_saying_no_to_them_is_no_error(postgres_url: str, no: str):
    open_store({**environment(postgres_url), "POSTGRES_ENABLE_DB_FUNCTIONS": no}, migrate=True).close()


def test_nothing_of_ours_makes_or_calls_them(postgres_url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("POSTGRES_ENABLE_DB_FUNCTIONS", "y")  # set for another application of the process
    store = open_store(postgres_url, migrate=True)
    store.record_definition(PLAN)
    put(store, "trip-42", history(2))
    with messages(store.recorder._writer) as said:
        put(store, "trip-42", history(3)[2:])
    assert "Bind" in said
    store.set_parked("trip-42", "reason", at=NOON)
    assert len(store.notification_log.select(1, 9)) == 4
    statements = [it.statement for it in prepared(store)]
    assert statements
    assert not [it for it in statements if "es_insert_events" in it]
    with psycopg.connect(postgres_url) as db:
        functions = "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        types = (
            "SELECT typname FROM pg_type JOIN pg_class ON pg_class.oid = typrelid"
            " WHERE typnamespace = 'public'::regnamespace AND relkind = 'c'"
        )
        assert db.execute(functions).fetchall() == [("saga_start",)]  # the inbox's
        assert db.execute(types).fetchall() == []
    store.close()


def prepared(store: SagaApplication) -> list:
    """Return what the writing connection has had prepared."""
    with store.recorder._writer.cursor(row_factory=psycopg.rows.namedtuple_row) as cursor:
        return cursor.execute("SELECT statement FROM pg_prepared_statements").fetchall()


def test_a_factory_made_by_hand_has_no_use_for_them(postgres_url: str):
    factory = SagaPostgresFactory({**environment(postgres_url), "POSTGRES_ENABLE_DB_FUNCTIONS": "y"})
    assert factory.datastore.enable_db_functions is False
    factory.close()
