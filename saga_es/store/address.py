"""From a store's address to a store."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping

from eventsourcing.domain import EventSourcingError
from eventsourcing.utils import TopicError

from saga_es.errors import InvalidInput, MissingExtra, SagaError
from saga_es.store.application import SagaApplication

MODULES = {
    "eventsourcing.popo": "saga_es.store.recorders.memory:SagaMemoryFactory",
    "eventsourcing.sqlite": "saga_es.store.recorders.sqlite:SagaSQLiteFactory",
    "eventsourcing.postgres": "saga_es.store.recorders.postgres:SagaPostgresFactory",
}
UNREADABLE = (OSError, ImportError, TopicError, EventSourcingError, ValueError)
"""What `eventsourcing` raises of an environment that it can't make a store of; nothing is opened by then."""

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
    if is_postgres:
        needs_psycopg()
    try:
        made = SagaApplication(env, url=shown(store))
    except UNREADABLE as error:
        if isinstance(error, SagaError):
            raise
        raise InvalidInput("the store's environment", problem=str(error)) from error
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
    scheme, mark, path = url.partition("://")
    match scheme + mark:
        case "memory://" if not path:
            return adapted({"PERSISTENCE_MODULE": "eventsourcing.popo"})
        case "sqlite://" if path[:1] == "/" and path.strip("/"):
            # To the letter: ?, # and % are letters of a file's name here.
            return adapted({"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": path[1:]})
        case "postgresql://" | "postgres://":
            return adapted({"PERSISTENCE_MODULE": "eventsourcing.postgres", **postgres_parameters(url)})
        case _:
            raise InvalidInput("the store's address", problem=f"{shown(url)!r}; it has to be {FORMS}")


def postgres_parameters(url: str) -> dict[str, str]:
    """Return a PostgreSQL URL's parts under `eventsourcing`'s names; empty ones are left to libpq's defaults."""
    needs_psycopg()
    import psycopg  # noqa: PLC0415 - an extra
    from psycopg.conninfo import conninfo_to_dict, make_conninfo  # noqa: PLC0415 - the same

    try:
        parts = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    except psycopg.Error:  # whose words may have the password in them
        parts = {"port": "?"}
    # A password with / or @ in it ends up in these, and then in what libpq says of them.
    if "@" in parts.get("host", "") or not re.fullmatch(r"[\d,]*", parts.get("port", "")):
        problem = f"{shown(url)!r} can't be read as a URL; in a password, write / as %2F and @ as %40"
        raise InvalidInput("the store's address", problem=problem)
    named = {
        f"POSTGRES_{name.upper()}": parts.pop(name, "")
        for name in ("dbname", "host", "port", "user", "password")
    }
    return {**named, "POSTGRES_CONNINFO": make_conninfo("", **parts)}


def needs_psycopg() -> None:
    """Raise MissingExtra where psycopg is not installed."""
    if importlib.util.find_spec("psycopg") is None or importlib.util.find_spec("psycopg_pool") is None:
        raise MissingExtra("postgres", needed_for="a PostgreSQL store")


def adapted(env: Mapping[str, str]) -> dict[str, str]:
    """Return an environment with our recorders in place of `eventsourcing`'s, and text ids."""
    module = env.get("PERSISTENCE_MODULE", "eventsourcing.popo")
    if module not in MODULES and module not in MODULES.values():
        raise InvalidInput("PERSISTENCE_MODULE", problem=f"{module!r}; saga_es knows {', '.join(MODULES)}")
    return {**env, "PERSISTENCE_MODULE": MODULES.get(module, module), "ORIGINATOR_ID_TYPE": "text"}


def shown(store: str | Mapping[str, str]) -> str:
    """Return an address for messages, without its password."""
    if not isinstance(store, str):
        return shown_environment(store)
    if "://" not in store:
        hidden = re.sub(r"(password\s*=\s*)('[^']*'|\S+)", r"\1***", store, flags=re.IGNORECASE)
        return re.sub(r":.*@", ":***@", hidden)
    scheme, _, rest = store.partition("://")
    rest = re.sub(r"^([^:@/?]*):.*@", r"\1:***@", rest)  # to the last @: rather too much than a part of it
    rest = re.sub(r"(password=)[^&]*", r"\1***", rest)
    return f"{scheme}://{rest}"


def shown_environment(env: Mapping[str, str]) -> str:
    """Return an environment as the address it stands for."""
    module = env.get("PERSISTENCE_MODULE", "")
    kind = MODULES.get(module, module)
    if kind == MODULES["eventsourcing.sqlite"] and "SQLITE_DBNAME" in env:
        return f"sqlite:///{env['SQLITE_DBNAME']}"
    if kind == MODULES["eventsourcing.postgres"] and "POSTGRES_DBNAME" in env:
        user, host, port = (env.get(f"POSTGRES_{name}") or "" for name in ("USER", "HOST", "PORT"))
        place = f"{user}@{host}:{port or 5432}/{env['POSTGRES_DBNAME']}"
        schema = env.get("POSTGRES_SCHEMA")
        return f"postgresql://{place}" + (f" (schema {schema})" if schema else "")
    return "memory://"
