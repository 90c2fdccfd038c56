"""Connections to PostgreSQL, behind the face of `eventsourcing`'s datastore."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from typing import Final, Self

import psycopg
from eventsourcing.persistence import DataError, IntegrityError, OperationalError, ProgrammingError
from eventsourcing.postgres import PostgresDatastore
from psycopg.conninfo import make_conninfo
from psycopg.rows import DictRow, dict_row

MAX_CONNECTIONS: Final = 15
CONNECT_SECONDS: Final = 5
SILENCE: Final = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""After how long a network that says nothing more is taken for cut."""

# Nothing is acknowledged before it is flushed, whatever the role's or the database's default is. Every statement
# here has its index: a plan made while the tables were small must not scan them when they have grown.
SESSION: Final = """
SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit')
                  WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false),
       set_config('enable_seqscan', 'off', false), set_config('jit', 'off', false),
       set_config('statement_timeout', '30s', false)"""


class ConnectionLost(OperationalError):
    """A connection broke in use; another may work."""


class SagaPostgresDatastore(PostgresDatastore):
    """Makes connections when they are needed and keeps them when they are idle.

    `eventsourcing`'s own pool stays unopened: after an outage it waits up to minutes before it tries again, and
    hands out the connections that were cut. Here the first that is found cut takes the other idle ones with it,
    and the next call connects anew.

    Args:
        parameters: libpq's connection parameters; no password among them where ``get_password`` is given.
        schema: where the tables are.
        max_connections: how many callers can have one at the same time; others wait.
        wait: seconds they wait for one.
    """

    def __init__(
        self,
        parameters: Mapping[str, str | int],
        *,
        schema: str = "",
        get_password: Callable[[], str] | None = None,
        max_connections: int = MAX_CONNECTIONS,
        wait: float = 30.0,
    ) -> None:
        super().__init__("", "", "", "", "", schema=schema, originator_id_type="text")
        self._parameters = {
            "connect_timeout": CONNECT_SECONDS,
            "application_name": "saga_es",
            **SILENCE,
            **parameters,
        }
        self._get_password, self._wait = get_password, wait
        self._free = threading.BoundedSemaphore(max_connections)
        self._idle: deque[psycopg.Connection[DictRow]] = deque()
        self._is_closed = False

    def apart(self) -> SagaPostgresDatastore:
        """Return one more with a single connection, which those who use this one can't hold up."""
        made = self._parameters
        return SagaPostgresDatastore(
            made, schema=self.schema, get_password=self._get_password, max_connections=1, wait=self._wait
        )

    def register_type_adapters(self) -> None:
        """Do nothing: no composite types are used, and so no question is asked when the recorder is made."""

    def connect(self, **parameters: str | int) -> psycopg.Connection[DictRow]:
        """Return a connection of the caller's own."""
        wanted = {**self._parameters, **parameters}
        if self._get_password is not None:
            wanted["password"] = self._get_password()
        with translated():
            conninfo = make_conninfo("", **wanted)
            made = psycopg.Connection[DictRow].connect(conninfo, autocommit=True, row_factory=dict_row)
            try:
                made.execute(SESSION)
            except BaseException:
                made.close()
                raise
        return made

    @contextmanager
    def get_connection(self) -> Generator[psycopg.Connection[DictRow]]:
        if not self._free.acquire(timeout=self._wait):
            raise OperationalError(f"all connections were busy for {self._wait} s")
        try:
            connection = self._idle_or_new()
            try:
                with translated(connection):
                    yield connection
            finally:
                self._put_back(connection)
        finally:
            self._free.release()

    def _idle_or_new(self) -> psycopg.Connection[DictRow]:
        if self._is_closed:
            raise OperationalError("it is closed")
        with suppress(IndexError):
            return self._idle.pop()
        return self.connect()

    def _put_back(self, connection: psycopg.Connection[DictRow]) -> None:
        if connection.broken:
            self._drop_idle()
        if self._is_closed or connection.info.transaction_status is not psycopg.pq.TransactionStatus.IDLE:
            connection.close()
        else:
            self._idle.append(connection)

    def _drop_idle(self) -> None:
        with suppress(IndexError):
            while True:
                self._idle.pop().close()

    def close(self) -> None:
        with suppress(
            AttributeError
        ):  # a datastore that could not be made is closed too, when it is collected
            self._is_closed = True
            self._drop_idle()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def translated(connection: psycopg.Connection[DictRow] | None = None) -> Generator[None]:
    """Raise `eventsourcing`'s errors in place of psycopg's; ConnectionLost where ``connection`` is broken."""
    try:
        yield
    except psycopg.IntegrityError as error:
        raise IntegrityError(str(error)) from error
    except psycopg.DataError as error:
        raise DataError(str(error)) from error
    except psycopg.Error as error:
        kind = ProgrammingError if isinstance(error, psycopg.ProgrammingError) else OperationalError
        lost = connection is not None and connection.closed
        raise (ConnectionLost if lost else kind)(str(error).strip()) from error
