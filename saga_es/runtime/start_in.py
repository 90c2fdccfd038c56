"""start_in: a saga's start in the caller's own database transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Protocol, TypeVar, overload

from pydantic_core import to_json

from saga_es.authoring.fluent import Definition
from saga_es.authoring.saga import Saga
from saga_es.runtime.registry import Registry
from saga_es.runtime.settings import Settings
from saga_es.runtime.starts import Start, start_of
from saga_es.store.inbox import HeldStart
from saga_es.store.port import Store
from saga_es.store.recorders.user_connections import inbox_table, insert, is_async

T = TypeVar("T")


class PlainConnection(Protocol):
    """Psycopg's Connection; SQLAlchemy's Connection and Session."""

    @property
    def execute(self) -> Callable[..., Any]: ...  # each has an execute of its own
    @property
    def __enter__(self) -> Callable[..., Any]: ...


class AsyncConnection(Protocol):
    """Psycopg's AsyncConnection; SQLAlchemy's AsyncConnection and AsyncSession."""

    @property
    def execute(self) -> Callable[..., Any]: ...  # each has an execute of its own
    @property
    def __aenter__(self) -> Callable[..., Any]: ...


class StartsIn:
    """What an engine and a client have in common to start sagas with."""

    _store_address: str | Mapping[str, str]
    _registry: Registry
    _settings: Settings
    _ids: Callable[[], str]

    @overload
    def start_in(
        self,
        connection: PlainConnection,
        saga: type[Saga[T]] | Saga[T] | Definition[T],
        input: T,
        *,
        saga_id: str | None = None,
    ) -> str: ...
    @overload
    def start_in(
        self,
        connection: PlainConnection,
        saga: str,
        input: object,
        *,
        saga_id: str | None = None,
    ) -> str: ...
    @overload
    def start_in(
        self,
        connection: AsyncConnection,
        saga: type[Saga[T]] | Saga[T] | Definition[T],
        input: T,
        *,
        saga_id: str | None = None,
    ) -> Awaitable[str]: ...
    @overload
    def start_in(
        self,
        connection: AsyncConnection,
        saga: str,
        input: object,
        *,
        saga_id: str | None = None,
    ) -> Awaitable[str]: ...
    def start_in(
        self,
        connection: Any,
        saga: Any,
        input: Any,  # noqa: A002 - as in start
        *,
        saga_id: str | None = None,
    ) -> str | Awaitable[str]:
        """Ask for a saga's start in a transaction of the caller's own, and return its id.

        One row goes into the store's inbox by `connection`; nothing is committed here. Once the caller commits, an
        engine on this store starts the saga as ``start`` would; after a rollback nothing was asked for. In
        autocommit, outside a transaction, the row is committed at once. It needs no entering: it can be called
        from sync code.

        Args:
            connection: to the store's database; psycopg's Connection or AsyncConnection, or SQLAlchemy's
                Connection, Session, AsyncConnection or AsyncSession. Where it is async, the id is awaited.
            saga: as for ``start``.
            input: the same.
            saga_id: made here where there is none.

        Raises:
            UnknownDefinition: it is not among the ``sagas`` here.
            InvalidInput, PayloadTooLarge: the input, the id or the connection does not fit, or the store is not
                PostgreSQL; nothing was written.
        """
        waits, table = is_async(connection), inbox_table(self._store_address)
        start = self._checked(saga, input, saga_id)
        row = (start.saga_id, start.definition.name, start.definition.version, to_json(start.value).decode())
        if waits:
            return _inserted(connection, table, row)
        with _hinted(table):
            insert(connection, table, row)
        return start.saga_id

    def _checked(self, saga: object, value: object, saga_id: object) -> Start:
        """Return what is to be begun; see ``start_of``."""
        return start_of(
            saga,
            value,
            saga_id,
            registry=self._registry,
            settings=self._settings,
            new_id=lambda _: self._ids(),
        )


async def _inserted(connection: Any, table: str, row: tuple[str, str, int, str]) -> str:
    with _hinted(table):
        await insert(connection, table, row)
    return row[0]


@contextmanager
def _hinted(table: str) -> Generator[None]:
    """Let the library's own error through, with a word on what it may come of."""
    try:
        yield
    except Exception as error:
        error.add_note(
            f"The saga's start goes into {table}, by the connection that was given: it has to be to the store's "
            "database, migrated (saga-es --store URL migrate), and its role needs INSERT on that table."
        )
        raise


def held_start(saga_id: str, store: Store) -> HeldStart | None:
    """Return how a saga waits in the store's inbox, ``None`` if it does not; blocking."""
    return None if store.inbox is None else store.inbox.held(saga_id)


def not_begun(saga_id: str, held: HeldStart, timeout: timedelta | None) -> TimeoutError:
    """Return the error for an outcome of a saga that no engine has started yet."""
    if held.error is None:
        why = "it waits in the inbox for an engine to start it. Ask again"
    else:
        why = (
            f"it is set aside in the inbox: {held.error}. Correct its row and set error to NULL, or delete it"
        )
    return TimeoutError(f"saga {saga_id!r} has not ended within {timeout}: {why}.")
