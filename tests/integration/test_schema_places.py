"""Where a store can be: its address, what may stand beside it there, and what is no address."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from eventsourcing.application import Application, LocalNotificationLog
from eventsourcing.domain import Aggregate, event
from psycopg.conninfo import conninfo_to_dict

from saga_es import SagaClient, SagaEngine, Settings, define
from saga_es.errors import InvalidInput, StoreUnavailable
from saga_es.store.address import environment, open_store
from tests.support.stores import Place, history, put

ROOT = Path(__file__).parents[2]


async def say(word: str) -> str:
    return word


SAYING = define("saying", str).step(say)

# -- addresses ---------------------------------------------------------------------------------------


@pytest.mark.promise("call.SagaEngine")
def test_a_relative_file_is_where_the_process_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    store = open_store("sqlite:///relative ?#%41.db")
    put(store, "trip-42", history(1))
    assert store.url == "sqlite:///relative ?#%41.db"
    store.close()
    with closing(sqlite3.connect(tmp_path / "relative ?#%41.db")) as db:
        assert db.execute("SELECT count(*) FROM saga_log").fetchone() == (1,)


@pytest.mark.promise("call.SagaEngine")
def test_an_absolute_file_is_where_it_says(tmp_path: Path):
    path = tmp_path / "sagas.db"
    url = f"sqlite:///{path}"
    assert url.startswith("sqlite:////")
    store = open_store(url)
    assert store.url == url
    store.close()
    assert path.exists()


def test_memory_is_a_store_of_its_own_each_time():
    first, second = open_store("memory://"), open_store("memory://")
    put(first, "trip-42", history(1))
    assert (first.url, second.read("trip-42")) == ("memory://", ())


@pytest.mark.promise("call.SagaEngine", "call.SagaClient")
@pytest.mark.parametrize("kind", ["memory", "sqlite", "postgresql"])
def test_an_environment_is_an_address(kind: str, tmp_path: Path, request: pytest.FixtureRequest):
    environments: dict[str, Any] = {
        "memory": dict,
        "sqlite": lambda: {
            "PERSISTENCE_MODULE": "eventsourcing.sqlite",
            "SQLITE_DBNAME": str(tmp_path / "a.db"),
        },
        "postgresql": lambda: in_stock_words(request.getfixturevalue("postgres_url")),
    }
    store: Mapping[str, str] = environments[kind]()
    given = dict(store)
    if kind == "postgresql":
        open_store(store, migrate=True).close()

    async def run() -> str:
        async with SagaEngine(store, sagas=[SAYING]) as engine:
            outcome = await engine.run(SAYING, "hello", saga_id="one")
        if kind != "memory":
            async with SagaClient(store) as client:
                assert (await client.outcome("one")).results == {"say": "hello"}
        return outcome.status

    assert asyncio.run(run()) == "succeeded"
    assert store == given  # nobody wrote into it


def in_stock_words(url: str) -> dict[str, str]:
    parts = conninfo_to_dict(url)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": str(parts["dbname"]),
        "POSTGRES_HOST": str(parts["host"]),
        "POSTGRES_PORT": str(parts["port"]),
        "POSTGRES_USER": str(parts["user"]),
        "POSTGRES_PASSWORD": "unused",
    }


NO_ADDRESSES = [
    "", "memory", "memory:", "memory://x", "memory:///x", "sagas.db", "/srv/sagas.db", "sqlite", "sqlite:sagas.db",
    "sqlite:/sagas.db", "sqlite://sagas.db", "sqlite://", "sqlite:///", "mysql://me:s3cret@host/db",
    "http://host/sagas", "postgresql:me:s3cret@host/db", "postgres:/me:s3cret@host/db",
    "host=127.0.0.1 user=me password=s3cret", "password = 's3cret' host=x", "postgresql://me:s3cret@[::1/db",
    "postgresql://me:s3cret@host:port/db", "postgresql://me:s3cret/x@host/db", "postgresql://me:x@s3cret@host/db",
    "postgresql://host/db?nonsense=1&password=s3cret", "postgresql://me:s3 cret@host/db",
]  # fmt: skip


@pytest.mark.promise("error.InvalidInput")
@pytest.mark.parametrize("store", NO_ADDRESSES)
def test_anything_else_is_no_address(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInput) as error:
        open_store(store, migrate=True)
    assert error.value.what == "the store's address"
    assert not said_by(error.value, "cret")
    assert list(tmp_path.iterdir()) == []  # and no file was made


@pytest.mark.promise("error.InvalidInput")
@pytest.mark.parametrize(
    ("store", "what"),
    [
        ({"PERSISTENCE_MODULE": "eventsourcing.redis"}, "PERSISTENCE_MODULE"),
        ({"PERSISTENCE_MODULE": "os:system"}, "PERSISTENCE_MODULE"),
        ({"PERSISTENCE_MODULE": "eventsourcing.sqlite"}, "the store's environment"),
        ({"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": ":memory:"}, "SQLITE_DBNAME"),
        (
            {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": "file:x?mode=memory"},
            "SQLITE_DBNAME",
        ),
        (
            {"PERSISTENCE_MODULE": "eventsourcing.postgres", "POSTGRES_PASSWORD": "s3cret"},
            "the store's environment",
        ),
        ({"CIPHER_TOPIC": "nowhere:Cipher", "CIPHER_KEY": "s3cret"}, "the store's environment"),
    ],
)
def test_an_environment_that_names_no_store_is_refused(store: dict[str, str], what: str):
    with pytest.raises(InvalidInput) as error:
        open_store(store)
    assert error.value.what == what
    assert not said_by(error.value, "s3cret")


@pytest.mark.promise("error.StoreUnavailable")
def test_a_file_in_no_folder_is_a_store_that_does_not_answer(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'nowhere' / 'sagas.db'}"
    with pytest.raises(StoreUnavailable) as error:
        open_store(url)
    assert error.value.store == url
    assert error.value.problem


# -- the password is never said ----------------------------------------------------------------------


def said_by(error: BaseException, word: str) -> list[str]:
    """Return what an error, its fields, and all the errors it came from say with this word in it."""
    found, seen = [text for text in map(str, vars(error).values()) if word in text], error
    while seen is not None:
        texts = [str(seen), repr(seen)]
        found += [text for text in texts if word in text]
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return found


@pytest.mark.promise("error.StoreUnavailable")
@pytest.mark.parametrize(
    "address",
    [
        "postgresql://me:s3cret@127.0.0.1:1/db",
        "postgresql://me:x%40s3cret%2Fy@127.0.0.1:1/db",
        "postgresql://127.0.0.1:1/db?user=me&password=s3cret",
        "postgresql://127.0.0.1:1/db?password=s3cret&sslpassword=s3cret",
        "postgresql://me:s3cret@no-such-host.invalid/db?connect_timeout=2",
        {**environment("postgresql://me:s3cret@127.0.0.1:1/db"), "POSTGRES_SCHEMA": "ours"},
        {**environment("postgresql://me@127.0.0.1:1/db"), "POSTGRES_CONNINFO": "password=s3cret"},
    ],
)
def test_a_password_is_in_no_error(address: str | dict[str, str]):
    for migrate in (True, False):
        with pytest.raises(StoreUnavailable) as error:
            open_store(address, migrate=migrate)
        assert "127.0.0.1" in error.value.store or "no-such-host" in error.value.store
        assert not said_by(error.value, "s3cret")


@pytest.mark.promise("error.StoreUnavailable", "call.SagaEngine", "call.SagaClient")
@pytest.mark.parametrize("kind", [SagaEngine, SagaClient])
def test_nor_is_it_on_entry(kind: type[SagaEngine | SagaClient]):
    async def enter() -> None:
        settings = Settings(store_timeout=timedelta(milliseconds=100))
        async with kind("postgresql://me:s3cret@127.0.0.1:1/db", sagas=[SAYING], settings=settings):
            pass

    with pytest.raises(StoreUnavailable) as error:
        asyncio.run(enter())
    assert error.value.store == "postgresql://me:***@127.0.0.1:1/db"
    assert not said_by(error.value, "s3cret")


def test_nor_in_the_address_of_an_open_store(postgres_url: str):
    user = str(conninfo_to_dict(postgres_url)["user"])
    store = open_store(postgres_url.replace(f"{user}@", f"{user}:s3cret@", 1), migrate=True)
    assert "s3cret" not in store.url
    assert "***" in store.url
    store.close()


# -- without psycopg ---------------------------------------------------------------------------------

WITHOUT = """
import asyncio, sys
from saga_es import MissingExtra, SagaClient, SagaEngine, define
from saga_es.store.address import open_store

async def say(word: str) -> str:
    return word

saying = define("saying", str).step(say)

async def enter(kind, store):
    async with kind(store, sagas=[saying]) as entered:
        if kind is SagaEngine:
            return (await entered.run(saying, "hello")).status

url = "postgresql://me:s3cret@127.0.0.1:1/db"
for way in (
    lambda: open_store(url),
    lambda: open_store({"PERSISTENCE_MODULE": "eventsourcing.postgres"}),
    lambda: asyncio.run(enter(SagaEngine, url)),
    lambda: asyncio.run(enter(SagaClient, url)),
):
    try:
        way()
    except MissingExtra as error:
        print(error.extra, isinstance(error, ImportError), "s3cret" in str(error), "saga_es[postgres]" in str(error))
print(asyncio.run(enter(SagaEngine, "memory://")), asyncio.run(enter(SagaEngine, sys.argv[1])))
"""


@pytest.mark.promise("error.MissingExtra")
@pytest.mark.parametrize("missing", ["psycopg", "psycopg_pool"])
def test_without_psycopg_the_extra_is_named_and_the_rest_works(missing: str, tmp_path: Path):
    installed = tmp_path / "installed"
    installed.mkdir()
    for path in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if path.name != missing and not path.name.endswith(".pth"):
            (installed / path.name).symlink_to(path)
    # -S: not what is really installed; what is in the folder, and the checkout.
    command = [sys.executable, "-S", "-W", "error", "-c", WITHOUT, f"sqlite:///{tmp_path / 'sagas.db'}"]
    found = os.pathsep.join(map(str, (installed, ROOT)))
    done = subprocess.run(
        command, env={"PYTHONPATH": found}, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["postgres True False True"] * 4 + ["succeeded succeeded"]


# -- beside others -----------------------------------------------------------------------------------


class Dog(Aggregate):
    @event("Registered")
    def __init__(self, name: str) -> None:
        self.name = name


class Kennel(Application):
    pass


def test_another_application_of_eventsourcing_stands_beside_ours(shared_place: Place):
    ours = shared_place.open()
    put(ours, "trip-42", history(3))
    stock = {
        name: "eventsourcing.sqlite" if "sqlite" in value else "eventsourcing.postgres"
        for name, value in ours.env.items()
        if name == "PERSISTENCE_MODULE"
    }
    kennel = Kennel({**ours.env, **stock, "ORIGINATOR_ID_TYPE": "uuid", "IS_SNAPSHOTTING_ENABLED": "y"})
    dog = Dog("Rex")
    kennel.save(dog)
    kennel.take_snapshot(dog.id)
    put(ours, "trip-42", history(4)[3:])
    assert kennel.repository.get(dog.id).name == "Rex"
    assert [it.originator_id for it in kennel.notification_log.select(1, 10)] == [dog.id]
    assert isinstance(ours.notification_log, LocalNotificationLog)
    assert [it.originator_id for it in ours.notification_log.select(1, 10)] == ["trip-42"] * 4
    assert ours.read("trip-42") == history(4)
    kennel.close()


def test_stores_in_two_schemas_of_one_database_know_nothing_of_each_other(postgres_url: str):
    with ExitStack() as stack:
        first, second = (
            Place("postgresql", {**environment(postgres_url), "POSTGRES_SCHEMA": schema}, stack).open()
            for schema in ("first", 'sec"ond Schema')
        )
        put(first, "trip-42", history(3))
        put(second, "trip-42", history(2))
        assert (len(first.read("trip-42")), len(second.read("trip-42"))) == (3, 2)
        first.claim()
        second.claim()
        assert (first.position(), second.position()) == (3, 2)
        assert first.url != second.url
        with psycopg.connect(postgres_url) as db:
            public = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
            assert db.execute(public).fetchone() == (0,)
