# ruff: noqa: S608 - the names in these statements are our own; values are bound
"""`eventsourcing`'s PostgreSQL recorder, with batches of one statement, the index of sagas and the schema's version."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final, LiteralString, cast

import psycopg
from eventsourcing.persistence import IntegrityError, StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore, PostgresFactory
from eventsourcing.utils import Environment, EnvType, strtobool
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow, tuple_row
from psycopg.sql import SQL, Identifier

from saga_es.model.summary import SagaSummary
from saga_es.store.encoding import StoredRow, predecessors_of, row_of
from saga_es.store.inbox import ClaimLost
from saga_es.store.index import IndexRow, Wanted, row_from, storable, summary_from
from saga_es.store.recorders.connections import ConnectionLost, SagaPostgresDatastore, translated
from saga_es.store.recorders.postgres_crew import PostgresCrew
from saga_es.store.recorders.postgres_inbox import PostgresInbox
from saga_es.store.recorders.postgres_sql import SHOWN, STEPS, STORED, Statements
from saga_es.store.recorders.postgres_values import lines, values_beside, values_of
from saga_es.store.recorders.session_place import SessionPlace
from saga_es.store.recorders.subscriptions import SagaPostgresSubscription
from saga_es.store.schema import EVENTS, SCHEMA_VERSION, steps_from
from saga_es.store.shards import NOTHING, Beside, Fenced

Row = tuple[object, ...]

# To plan an append anew for its values takes the server as long as to write thirty events. There is one good plan for
# all, since every table in it is read by an index (see SESSION).
PLANNED_ONCE: Final = "SET plan_cache_mode = force_generic_plan"


class SagaPostgresRecorder(PostgresApplicationRecorder):
    """Appends a batch and its index rows in one statement, on one connection of its own.

    Nothing is retried here that writes: after a lost connection the outcome is unknown, and whoever appends has to
    read back. What reads is asked again once, where the connection turns out to have been cut.

    Args:
        notify: whether appends NOTIFY, so that `eventsourcing`'s subscriptions hear of them. Engines need it not.
    """

    datastore: SagaPostgresDatastore

    def __init__(self, datastore: SagaPostgresDatastore, *, notify: bool = True) -> None:
        super().__init__(datastore, events_table_name=EVENTS)
        self._say = Statements(datastore.schema, self.channel_name)
        self._notify = notify
        self._append_lock = self._say.lock_key("append")
        self._write_lock = threading.Lock()
        self._writer: psycopg.Connection[DictRow] | None = None
        self._end: int | None = None  # of the log, as far as it was followed without a gap
        self._place: SessionPlace | None = None
        self.inbox = PostgresInbox(datastore, self._say, self._select)
        self.crew = PostgresCrew(datastore, self._say)

    # -- schema --------------------------------------------------------------------------------------

    def migrate(self) -> None:
        """Make what is missing, in one transaction, one process at a time."""
        key = self._say.lock_key("migrate")
        with self.datastore.get_connection() as connection, connection.transaction():
            connection.execute(
                "SET LOCAL statement_timeout = 0"
            )  # others may migrate before us, and indexes take time
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (key,))
            if self._is_missing(connection, "to_regnamespace(quote_ident(%s))", self._say.schema):
                connection.execute(SQL("CREATE SCHEMA {}").format(Identifier(self._say.schema)))
            found = self._version_in(connection)
            for statement in steps_from(found, STEPS):
                connection.execute(self._say.of(statement))
            if found is None or found < SCHEMA_VERSION:
                connection.execute(self._say.of("UPDATE {version} SET version = %s"), (SCHEMA_VERSION,))

    def schema_version(self) -> int | None:
        """Return the version of the tables, or ``None`` where there are none."""
        with self.datastore.get_connection() as connection:
            return self._version_in(connection)

    def _version_in(self, connection: psycopg.Connection[DictRow]) -> int | None:
        if self._is_missing(connection, "to_regclass(quote_ident(%s) || '.saga_schema')", self._say.schema):
            return None
        with connection.cursor(row_factory=tuple_row) as cursor:
            row = cursor.execute(self._say.version).fetchone()
        return None if row is None or row[0] is None else int(row[0])

    @staticmethod
    def _is_missing(connection: psycopg.Connection[DictRow], what: LiteralString, name: str) -> bool:
        with connection.cursor(row_factory=tuple_row) as cursor:
            return cursor.execute(SQL("SELECT ") + SQL(what), (name,)).fetchone() == (None,)

    # -- place: what a copy holds, and workers must not ------------------------------------------------

    def claim(self) -> bool:
        """Take the place that is for one; False if another session holds it, or a worker is at work."""
        place = SessionPlace(self.datastore, self._say.lock_key("engine"))
        if not place.take():
            return False
        self._place = place
        if self.crew.select_alive() is not None:
            self.release()
            return False
        self.crew.expel()
        return True

    def holder(self) -> str | None:
        """Return who is at work here."""
        alive = self.crew.select_alive()
        return alive or SessionPlace(self.datastore, self._say.lock_key("engine")).holder()

    def release(self) -> None:
        if self._place is not None:
            self._place.leave()
            self._place = None
        with self._write_lock:
            self._drop_writer()

    # -- writing -------------------------------------------------------------------------------------

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: object) -> Sequence[int]:
        """Append events; IntegrityError where a version is taken or leaves a gap."""
        return self.insert_batch([*map(row_of, stored_events)], ())

    def insert_batch(
        self, events: Sequence[StoredRow], rows: Sequence[IndexRow], beside: Beside = NOTHING
    ) -> Sequence[int]:
        """Write events and index rows, and what goes with them, or nothing of it.

        Returns:
            The events' places in the log.

        Raises:
            ClaimLost, Fenced: what had to be so is not.
            IntegrityError: a version is taken or leaves a gap.
        """
        predecessors = predecessors_of(events)
        values = {
            "lock": self._append_lock,
            "streams": lines(predecessors),
            "before": lines(predecessors.values()),
            **values_of(events, rows),
            **values_beside(beside),
        }
        statement = self._say.insert(
            rows=bool(rows),
            notify=self._notify,
            claims=bool(beside.claims),
            fences=bool(beside.fences),
            calls=bool(beside.calls),
        )
        with self._write_lock:
            row = self._insert(statement, values)
            ids = cast("list[int]", row["ids"] or [])
            if self._end is not None and ids and ids[0] == self._end + 1:
                self._end = ids[-1]
        if len(ids) < len(events):
            _check_beside(beside, row)
            raise IntegrityError(f"a predecessor of {predecessors} is not recorded")
        return ids

    def _insert(self, statement: bytes, values: dict[str, object]) -> DictRow:
        is_new = self._writer is None
        self._writer = self._writer or self.datastore.connect()
        try:
            with translated(self._writer):
                if is_new:
                    self._writer.execute(PLANNED_ONCE)
                row = self._writer.execute(statement, values, prepare=True).fetchone()
        except BaseException:
            if self._writer.info.transaction_status is not psycopg.pq.TransactionStatus.IDLE:
                self._drop_writer()
            raise
        assert row is not None  # noqa: S101 - it is an aggregate
        return row

    def _drop_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def update_parked(self, saga_id: str, reason: str | None, at: int) -> None:
        values = {"saga_id": saga_id, "reason": storable(reason), "at": at}
        with self.datastore.get_connection() as connection:
            connection.execute(self._say.update_parked, values)

    # -- reading -------------------------------------------------------------------------------------

    def select_events(
        self,
        originator_id: object,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        query = f"SELECT {STORED} FROM {{events}} WHERE originator_id = %s"
        values: list[object] = [originator_id]
        for condition, value in (
            (" AND originator_version > %s", gt),
            (" AND originator_version <= %s", lte),
        ):
            if value is not None:
                query, values = query + condition, [*values, value]
        query += f" ORDER BY originator_version {'DESC' if desc else 'ASC'}"
        if limit is not None:
            query, values = query + " LIMIT %s", [*values, limit]
        return [stored(row) for row in self._select(self._say.of(query), values)]

    def select_stream(self, stream: str, after: int, upto: int) -> Sequence[Row]:
        """Return (version, topic, state) of ``after < version <= upto``, in order."""
        return self._select(self._say.stream, (stream, after, upto))

    def select_many(self, streams: Sequence[str]) -> Sequence[Row]:
        """Return (version, topic, state, stream) of whole streams, unsorted: a server takes long for that."""
        return self._select(self._say.many, [list(streams)])

    def select_versions(self, streams: Sequence[str]) -> dict[str, int]:
        """Return the last version of each stream that has any."""
        found = self._select(self._say.versions, [list(streams)])
        return {cast("str", stream): cast("int", version) for stream, version in found}

    def select_index(self, wanted: Wanted) -> Sequence[SagaSummary]:
        conditions = wanted.conditions()
        where = " AND ".join(text for text, _ in conditions).replace("?", "%s") or "true"
        values = [value for _, each in conditions for value in each]
        query = f"SELECT {SHOWN} FROM {{index}} WHERE {where} ORDER BY started_at DESC, saga_id LIMIT %s"
        return [summary_from(row) for row in self._select(self._say.of(query), [*values, wanted.limit])]

    def select_summary(self, saga_id: str) -> SagaSummary | None:
        found = self._select(self._say.summary, [saga_id])
        return summary_from(found[0]) if found else None

    def select_rows(self, saga_ids: Sequence[str]) -> Sequence[IndexRow]:
        """Return the index rows of these sagas, in no order."""
        return [row_from(row) for row in self._select(self._say.rows, [list(saga_ids)])]

    def select_open(self, after: str | None, limit: int) -> Sequence[str]:
        return [str(saga_id) for (saga_id,) in self._select(self._say.open, [after or "", limit])]

    def select_changes(self, position: int, limit: int) -> tuple[int, dict[str, int]]:
        found = self._select(self._say.changes, [position, limit])
        versions = {cast("str", stream): cast("int", version) for _, stream, version in found}
        return cast("int", found[-1][0]) if found else position, versions

    def max_notification_id(self) -> int | None:
        return cast("int | None", self._select(self._say.end, [])[0][0])

    def changed_by_others(self) -> bool:
        """Whether the log holds more than was appended here; the first call can't know.

        Ids are committed in order: where those appended here follow each other, nobody else's are between them.
        """
        with self._write_lock:
            before, self._end = self._end, self.max_notification_id() or 0
            return before != self._end

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> SagaPostgresSubscription:
        return SagaPostgresSubscription(self, self.datastore.connect, gt, topics)

    def _select(self, query: bytes, values: Sequence[object]) -> list[Row]:
        try:
            return self._ask(query, values)
        except ConnectionLost:  # perhaps while it lay idle
            return self._ask(query, values)

    def _ask(self, query: bytes, values: Sequence[object]) -> list[Row]:
        with (
            self.datastore.get_connection() as connection,
            connection.cursor(row_factory=tuple_row, binary=True) as cursor,
        ):
            return cursor.execute(query, values, prepare=True).fetchall()


class SagaPostgresFactory(PostgresFactory):
    """Named in an environment as the persistence module.

    Beside `eventsourcing`'s variables it knows ``POSTGRES_CONNINFO``, more of libpq's parameters, and
    ``POSTGRES_NOTIFY``, "no" where nobody subscribes.
    """

    datastore: SagaPostgresDatastore

    POSTGRES_CONNINFO: Final = "POSTGRES_CONNINFO"
    POSTGRES_NOTIFY: Final = "POSTGRES_NOTIFY"

    def __init__(self, env: Environment | EnvType | None) -> None:
        super().__init__(env)
        stock: PostgresDatastore = self.datastore  # has read and checked the environment, and is not opened
        given = {
            name: str(value) for name, value in cast("dict[str, object]", stock.pool.kwargs).items() if value
        }
        given.pop("row_factory", None)
        more = conninfo_to_dict(self.env.get(self.POSTGRES_CONNINFO) or "")
        seconds = self.env.get(self.POSTGRES_CONNECT_TIMEOUT)
        if seconds:
            more["connect_timeout"] = seconds
        self.datastore = SagaPostgresDatastore(
            {**given, **{name: str(value) for name, value in more.items()}},
            schema=stock.schema,
            get_password=stock.pool.get_password_func,
            max_connections=stock.pool.max_size,
        )

    def application_recorder(self) -> SagaPostgresRecorder:
        notify = strtobool(self.env.get(self.POSTGRES_NOTIFY) or "yes")
        return SagaPostgresRecorder(self.datastore, notify=notify)


def _check_beside(beside: Beside, answer: DictRow) -> None:
    """Raise what kept a batch from being written, unless that was a version."""
    if beside.fences:
        kept = set(cast("list[int] | None", answer["fenced"]) or ())
        lost = [fence for place, fence in enumerate(beside.fences, start=1) if place not in kept]
        if lost:
            raise Fenced(lost)
    if beside.claims and cast("int", answer["claimed"]) < len(beside.claims):
        raise ClaimLost


def stored(row: Row) -> StoredEvent:
    stream, version, topic, state = row
    return StoredEvent(cast("str", stream), cast("int", version), cast("str", topic), cast("bytes", state))
