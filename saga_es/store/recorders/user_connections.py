"""A start in somebody's own transaction: one row of the inbox, by whatever connection they have."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

from saga_es.errors import InvalidInput
from saga_es.store.address import MODULES, adapted, environment, shown
from saga_es.store.application import PREFIX
from saga_es.store.inbox import INBOX

ASYNC: Final = {"psycopg": ("AsyncConnection",), "sqlalchemy": ("AsyncConnection", "AsyncSession")}
PLAIN: Final = {"psycopg": ("Connection",), "sqlalchemy": ("Connection", "Session")}
COLUMNS: Final = ("saga_id", "definition", "definition_version", "input")
TYPES: Final = ("text", "text", "bigint", "json")
FORMS: Final = (
    "a Connection or AsyncConnection of psycopg, or a Connection, Session, AsyncConnection or AsyncSession "
    "of SQLAlchemy"
)


def library_of(connection: object, known: Mapping[str, tuple[str, ...]]) -> str | None:
    """Return which library a connection is of, by its type's names: importing one to ask would require it."""
    for kind in type(connection).__mro__:
        library = kind.__module__.partition(".")[0]
        if kind.__name__ in known.get(library, ()):
            return library
    return None


def is_async(connection: object) -> bool:
    """Say whether a connection has to be awaited, or raise InvalidInput where it is none that is known."""
    if library_of(connection, ASYNC):
        return True
    if library_of(connection, PLAIN):
        return False
    kind = f"{type(connection).__module__}.{type(connection).__qualname__}"
    raise InvalidInput("connection", problem=f"it is a {kind}; it has to be {FORMS}")


def inbox_table(store: str | Mapping[str, str]) -> str:
    """Return the inbox's table of a store at an address, quoted, or raise InvalidInput where it has none."""
    env = environment(store) if isinstance(store, str) else adapted(store)
    if env["PERSISTENCE_MODULE"] != MODULES["eventsourcing.postgres"]:
        problem = f"{shown(store)} has no inbox; a start in your own transaction needs a PostgreSQL store"
        raise InvalidInput("the store", problem=problem)
    name = "POSTGRES_SCHEMA"
    schema = (env.get(name) or os.environ.get(PREFIX + name) or "").strip() or "public"
    quoted = schema.replace('"', '""')
    return f'"{quoted}"."{INBOX}"'


def insert(
    connection: Any, table: str, values: tuple[str, str, int, str]
) -> Any:  # whatever the library returns
    """Insert a row by somebody's connection, and commit nothing; return what has to be awaited if it is async."""
    if library_of(connection, ASYNC) == "psycopg" or library_of(connection, PLAIN) == "psycopg":
        return _by_psycopg(connection, table, values)
    return _by_sqlalchemy(connection, table, values)


def _by_psycopg(connection: Any, table: str, values: tuple[str, str, int, str]) -> Any:
    from psycopg import AsyncCursor, Cursor  # noqa: PLC0415 - an extra; the connection is of it
    from psycopg.rows import tuple_row  # noqa: PLC0415 - the same

    # A cursor of our own: the connection's factories are its owner's, and may read other placeholders.
    kind: Any = AsyncCursor if library_of(connection, ASYNC) else Cursor
    named = table.replace("%", "%%")
    statement = f"INSERT INTO {named} ({', '.join(COLUMNS)}) VALUES (%s, %s, %s, %s)"  # noqa: S608 - values are bound
    return kind(connection, row_factory=tuple_row).execute(statement.encode(), values, prepare=False)


def _by_sqlalchemy(connection: Any, table: str, values: tuple[str, str, int, str]) -> Any:
    import sqlalchemy  # noqa: PLC0415 - the connection is of it

    asked = getattr(connection, "sync_session", getattr(connection, "sync_connection", connection))
    bind = asked if library_of(asked, {"sqlalchemy": ("Connection",)}) else asked.get_bind()
    if bind.dialect.name != "postgresql":
        problem = f"it is to {bind.dialect.name}; the inbox is a table of the store's PostgreSQL database"
        raise InvalidInput("connection", problem=problem)
    named = table.replace("\\", "\\\\").replace(":", "\\:")
    bound = ", ".join(f"CAST(:{name} AS {of})" for name, of in zip(COLUMNS, TYPES, strict=True))
    statement = f"INSERT INTO {named} ({', '.join(COLUMNS)}) VALUES ({bound})"  # noqa: S608 - values are bound
    return connection.execute(sqlalchemy.text(statement), dict(zip(COLUMNS, values, strict=True)))
