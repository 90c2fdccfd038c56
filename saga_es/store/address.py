"""From a store's address to a store."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

from saga_es.errors import InvalidInput, MissingExtra
from saga_es.store.application import SagaApplication

MODULES = {
    "eventsourcing.popo": "saga_es.store.recorders.memory:SagaMemoryFactory",
    "eventsourcing.sqlite": "saga_es.store.recorders.sqlite:SagaSQLiteFactory",
    "eventsourcing.postgres": "saga_es.store.recorders.postgres:SagaPostgresFactory",
}
FORMS = "memory://, sqlite:///relative.db, sqlite:////absolute.db or postgresql://user@host/database"


def open_store(store: str | Mapping[str, str], *, migrate: bool | None = None) -> SagaApplication:
    """Open the store at an address, or of an `eventsourcing` environment; blocking.

    Args:
        store: a URL (``memory://``, ``sqlite:///relative.db``, ``sqlite:////absolute.db``, ``postgresql://…``),
            or an environment with ``PERSISTENCE_MODULE`` and what that needs.
        migrate: whether to make or upgrade the tables first; by default memory and SQLite yes, PostgreSQL no.

    Raises:
        InvalidInput: it is no address of a store.
        MissingExtra: PostgreSQL without psycopg.
        StoreSchemaError: the tables are missing, or of another version.
        StoreUnavailable: it does not answer.
    """
    env = environment(store) if isinstance(store, str) else adapted(store)
    is_postgres = env["PERSISTENCE_MODULE"] == MODULES["eventsourcing.postgres"]
    if is_postgres and importlib.util.find_spec("psycopg") is None:
        raise MissingExtra("postgres", needed_for="a PostgreSQL store")
    made = SagaApplication(env, url=shown(store))
    try:
        if migrate if migrate is not None else not is_postgres:
            made.migrate()
        made.check_schema()
    except BaseException:
        made.close()
        raise
    return made


def environment(url: str) -> dict[str, str]:
    """Return the `eventsourcing` environment of a URL."""
    parts = urlsplit(url)
    match parts.scheme:
        case "memory" if not parts.path:
            return adapted({"PERSISTENCE_MODULE": "eventsourcing.popo"})
        case "sqlite" if not parts.netloc and len(parts.path) > 1:
            path = url[len("sqlite:///") :]  # to the letter: ?, # and % are letters of a file's name here
            return adapted({"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": path})
        case "postgresql" | "postgres":
            return adapted({"PERSISTENCE_MODULE": "eventsourcing.postgres", "POSTGRES_URL": url})
        case _:
            raise InvalidInput("the store's address", problem=f"{shown(url)!r}; it has to be {FORMS}")


def adapted(env: Mapping[str, str]) -> dict[str, str]:
    """Return an environment with our recorders in place of `eventsourcing`'s, and text ids."""
    module = env.get("PERSISTENCE_MODULE", "eventsourcing.popo")
    if module not in MODULES and module not in MODULES.values():
        raise InvalidInput("PERSISTENCE_MODULE", problem=f"{module!r}; saga_es knows {', '.join(MODULES)}")
    if str(env.get("POSTGRES_ENABLE_DB_FUNCTIONS", "")).lower() not in (
        "",
        "0",
        "n",
        "no",
        "f",
        "false",
        "off",
    ):
        problem = "database functions lose notifications and cross applications; leave it out"
        raise InvalidInput("POSTGRES_ENABLE_DB_FUNCTIONS", problem=problem)
    return {**env, "PERSISTENCE_MODULE": MODULES.get(module, module), "ORIGINATOR_ID_TYPE": "text"}


def shown(store: str | Mapping[str, str]) -> str:
    """Return an address for messages, without its password."""
    if not isinstance(store, str):
        named = (
            store.get("SQLITE_DBNAME")
            or store.get("POSTGRES_DBNAME")
            or store.get("POSTGRES_URL")
            or "memory"
        )
        return (
            shown(named)
            if "://" in named
            else f"{store.get('PERSISTENCE_MODULE', 'eventsourcing.popo')}:{named}"
        )
    parts = urlsplit(store)
    if parts.password is None:
        return store
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{parts.username}:***@{host}"))
