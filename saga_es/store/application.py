"""SagaApplication: the log, as an `eventsourcing` application that other code can follow."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol, cast

from eventsourcing.application import Application
from eventsourcing.persistence import (
    ConnectionPoolClosedError,
    DataError,
    IntegrityError,
    Mapper,
    Notification,
    PersistenceError,
    StoredEvent,
)
from eventsourcing.utils import Environment, EnvType

from saga_es.errors import (
    InvalidInput,
    StoreInUse,
    StoreSchemaError,
    StoreUnavailable,
    VersionConflict,
)
from saga_es.model.definition import SagaDefinition
from saga_es.model.events import Recorded
from saga_es.model.lifecycle import SagaStatus
from saga_es.model.summary import Page, SagaSummary
from saga_es.store.append import Append
from saga_es.store.batch import rows_of
from saga_es.store.crew import Crew, CrewRows
from saga_es.store.encoding import StoredRow, row_of
from saga_es.store.inbox import Inbox, InboxRows
from saga_es.store.index import IndexRow, Wanted, micros, place_after
from saga_es.store.mapper import Row, SagaMapper
from saga_es.store.port import Changes
from saga_es.store.schema import LAST, SCHEMA_VERSION
from saga_es.store.shards import NOTHING, Beside, Call
from saga_es.store.stream import Stream

PLANS: Final = "\tdefinition/"  # a saga's id is printable, so that no saga's stream can be one of these
PREFIX: Final = "SAGA_ES_"


class SagaRecorder(Protocol):
    """What the application asks of a recorder beside `eventsourcing`'s own interface."""

    def migrate(self) -> None: ...
    def schema_version(self) -> int | None: ...
    def claim(self) -> bool: ...
    def holder(self) -> str | None: ...
    def release(self) -> None: ...
    def insert_batch(
        self, events: Sequence[StoredRow], rows: Sequence[IndexRow], beside: Beside = NOTHING
    ) -> object: ...
    def update_parked(self, saga_id: str, reason: str | None, at: int) -> None: ...
    def select_events(
        self, originator_id: str, *, gt: int | None = None, lte: int | None = None
    ) -> Sequence[StoredEvent]: ...
    def select_stream(self, stream: str, after: int, upto: int) -> Sequence[Row]: ...
    def select_many(self, streams: Sequence[str]) -> Sequence[tuple[int, str, bytes, str]]: ...
    def select_versions(self, streams: Sequence[str]) -> dict[str, int]: ...
    def select_index(self, wanted: Wanted) -> Sequence[SagaSummary]: ...
    def select_summary(self, saga_id: str) -> SagaSummary | None: ...
    def select_rows(self, saga_ids: Sequence[str]) -> Sequence[IndexRow]: ...
    def select_open(self, after: str | None, limit: int) -> Sequence[str]: ...
    def select_changes(self, position: int, limit: int) -> tuple[int, dict[str, int]]: ...
    def max_notification_id(self) -> int | None: ...
    def changed_by_others(self) -> bool: ...


class SagaApplication(Application[str]):
    """The log of all sagas, and the index beside it. Implements ``Store``; see there for what each call does.

    Other code can follow it with `eventsourcing`'s own tools: ``notification_log`` and ``mapper``.

    Args:
        env: an `eventsourcing` environment with one of our persistence modules. Of the process's own environment
            only what is named for this application counts (``SAGA_ES_CIPHER_TOPIC``, say), where `env` does not
            say otherwise: what was set for others must not decide how sagas are stored.
        url: the store's address for messages, without its password.

    Raises:
        InvalidInput: the environment asks for PostgreSQL's database functions.
    """

    name = "saga_es"

    def __init__(self, env: Mapping[str, str], *, url: str) -> None:
        self._url = url
        super().__init__(dict(env))
        self.encode: Final = self._map.encode_all
        self._plans: dict[str, SagaDefinition] = {}
        rows: InboxRows | None = getattr(self.recorder, "inbox", None)
        self._inbox = None if rows is None else Inbox(rows, self._reaching)
        crew: CrewRows | None = getattr(self.recorder, "crew", None)
        self._crew = None if crew is None else Crew(crew, self._reaching)

    def construct_env(self, name: str, env: EnvType | None = None) -> Environment:
        ours = {key[len(PREFIX) :]: value for key, value in os.environ.items() if key.startswith(PREFIX)}
        made = Environment(name, {**ours, **(env or {})})
        asked = made.get("POSTGRES_ENABLE_DB_FUNCTIONS", "").strip().lower()
        if asked not in ("", "0", "n", "no", "f", "false", "off"):
            problem = "database functions lose notifications and cross applications; leave it out"
            raise InvalidInput("POSTGRES_ENABLE_DB_FUNCTIONS", problem=problem)
        return made

    def construct_mapper(self) -> Mapper[str]:
        return self.factory.mapper(transcoder=self.construct_transcoder(), mapper_class=SagaMapper)

    @property
    def url(self) -> str:
        return self._url

    @property
    def inbox(self) -> Inbox | None:
        return self._inbox

    @property
    def crew(self) -> Crew | None:
        return self._crew

    @property
    def _log(self) -> SagaRecorder:
        return cast("SagaRecorder", self.recorder)

    @property
    def _map(self) -> SagaMapper:
        return cast("SagaMapper", self.mapper)

    # -- schema and place ----------------------------------------------------------------------------

    def migrate(self) -> None:
        """Make or upgrade the tables, unless they are right; safe from any number of processes at once."""
        with self._reaching():
            if self._log.schema_version() != SCHEMA_VERSION:
                self._log.migrate()

    def check_schema(self) -> None:
        """Raise StoreSchemaError unless the tables are of the version this library knows."""
        with self._reaching():
            found = self._log.schema_version()
        if found != SCHEMA_VERSION:
            raise StoreSchemaError(self._url, found=found, expected=SCHEMA_VERSION)

    def claim(self) -> None:
        with self._reaching():
            if not self._log.claim():
                raise StoreInUse(self._url, holder=self._log.holder())

    def close(self) -> None:
        if hasattr(self, "recorder"):
            self._log.release()
        super().close()

    # -- writing -------------------------------------------------------------------------------------

    def append(self, batch: Sequence[Append]) -> None:
        events, rows = rows_of(batch)
        try:
            with self._reaching():
                if self._crew is None:
                    self._log.insert_batch(events, rows)
                else:
                    self._log.insert_batch(events, rows, _beside(batch))
        except IntegrityError as error:
            guilty = self._first_past(batch)
            raise VersionConflict(guilty.saga_id, expected=guilty.expected_version) from error

    def _first_past(self, batch: Sequence[Append]) -> Append:
        """Return the first append whose stream is not where it was expected."""
        if len(batch) > 1:
            with self._reaching():
                versions = self._log.select_versions([append.saga_id for append in batch])
            seen: set[str] = set()
            for append in batch:
                if append.saga_id not in seen and versions.get(append.saga_id, 0) != append.expected_version:
                    return append
                seen.add(append.saga_id)
        return batch[0]

    def already_recorded(self, append: Append) -> bool:
        last = append.expected_version + len(append.events)
        with self._reaching():
            found = self._log.select_events(append.saga_id, gt=append.expected_version, lte=last)
        return tuple(map(row_of, found)) == append.events

    def set_parked(self, saga_id: str, reason: str | None, *, at: datetime) -> None:
        with self._reaching():
            self._log.update_parked(saga_id, reason, micros(at))

    # -- plans ---------------------------------------------------------------------------------------

    def record_definition(self, definition: SagaDefinition) -> None:
        if self.definition(definition.digest) is None:
            stored = self._map.encode_definition(PLANS + definition.digest, definition)
            with (
                contextlib.suppress(IntegrityError),
                self._reaching(),
            ):  # another process was first, with the same
                self._log.insert_batch([stored], [])
        self._plans[definition.digest] = definition

    def definition(self, digest: str) -> SagaDefinition | None:
        if digest not in self._plans:
            with self._reaching():
                found = self._log.select_events(PLANS + digest)
            if not found:
                return None
            self._plans[digest] = self._map.decode_definition(found[0])
        return self._plans[digest]

    # -- reading -------------------------------------------------------------------------------------

    def read(self, saga_id: str, *, after: int = 0, upto: int | None = None) -> tuple[Recorded, ...]:
        if not saga_id.isprintable():
            return ()  # no saga's id, and not text that every database takes
        with self._reaching():
            found = self._log.select_stream(saga_id, after, LAST if upto is None else upto)
        return self._map.decode_stream(saga_id, found, after=after)

    def stream(self, saga_id: str, *, after: int = 0) -> Stream:
        if not saga_id.isprintable():
            return Stream(self._map, saga_id, ())
        with self._reaching():
            return Stream(self._map, saga_id, self._log.select_stream(saga_id, after, LAST), after=after)

    def streams(self, saga_ids: Sequence[str]) -> Mapping[str, Stream]:
        rows: dict[str, list[Row]] = {saga_id: [] for saga_id in saga_ids}
        with self._reaching():
            for row in self._log.select_many(saga_ids):
                rows[row[3]].append(row)
        for found in rows.values():
            found.sort()  # as they nearly always are already
        return {saga_id: Stream(self._map, saga_id, found) for saga_id, found in rows.items()}

    def summary(self, saga_id: str) -> SagaSummary | None:
        if not saga_id.isprintable():
            return None
        with self._reaching():
            return self._log.select_summary(saga_id)

    def find(
        self,
        *,
        status: SagaStatus | None = None,
        definition: str | None = None,
        parked: bool | None = None,
        started_before: datetime | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> Page:
        if limit < 1:
            raise InvalidInput("limit", problem=f"{limit}; a page has at least one item")
        wanted = Wanted.of(
            status=status,
            definition=definition,
            parked=parked,
            started_before=started_before,
            after=after,
            limit=limit + 1,  # the one more says whether there is another page
        )
        with self._reaching():
            found = self._log.select_index(wanted)
        items = tuple(found[:limit])
        return Page(items, place_after(items[-1]) if len(found) > limit else None)

    def open_sagas(self, *, after: str | None = None, limit: int = 1000) -> Sequence[str]:
        with self._reaching():
            return self._log.select_open(after, limit)

    def position(self) -> int:
        with self._reaching():
            return self._log.max_notification_id() or 0

    def changes(self, position: int, *, limit: int = 10_000) -> Changes:
        with self._reaching():
            end, versions = self._log.select_changes(position, limit)
        return Changes(
            end, {stream: version for stream, version in versions.items() if not stream.startswith(PLANS)}
        )

    def changed_by_others(self) -> bool:
        with self._reaching():
            return self._log.changed_by_others()

    def versions(self, saga_ids: Sequence[str]) -> Mapping[str, int]:
        with self._reaching():
            return self._log.select_versions(saga_ids)

    # -- copying: what is stored, as it is stored ----------------------------------------------------

    def log_page(self, position: int, *, limit: int) -> Sequence[Notification]:
        """Return what the log has after a position, in its order, plans too."""
        with self._reaching():
            return self.recorder.select_notifications(position, limit, inclusive_of_start=False)

    def stored(self, stream: str, *, after: int, upto: int) -> Sequence[StoredEvent]:
        with self._reaching():
            return self._log.select_events(stream, gt=after, lte=upto)

    def rows(self, saga_ids: Sequence[str]) -> Mapping[str, IndexRow]:
        """Return the index rows of those of these sagas that have one."""
        with self._reaching():
            return {row.summary.saga_id: row for row in self._log.select_rows(saga_ids)}

    def insert(self, events: Sequence[StoredEvent], rows: Sequence[IndexRow]) -> None:
        """Write both, or nothing; IntegrityError where a version is taken or leaves a gap."""
        with self._reaching():
            self._log.insert_batch([*map(row_of, events)], rows)

    @contextlib.contextmanager
    def _reaching(self) -> Generator[None]:
        """Turn what a database says into our errors, but for a taken version: that is the caller's."""
        try:
            yield
        except IntegrityError:
            raise
        except (DataError, UnicodeEncodeError) as error:
            raise InvalidInput("a value for the store", problem=str(error)) from error
        except (PersistenceError, ConnectionPoolClosedError, OSError) as error:
            problem = str(error) or "it is closed"
            raise StoreUnavailable(self._url, problem=problem) from error


def _beside(batch: Sequence[Append]) -> Beside:
    """Return what goes with a batch: whose shards have to be held, and whose owners are told."""
    fences = {(it.shard, it.epoch) for it in batch if it.shard is not None and it.epoch is not None}
    calls = {
        it.saga_id: (it.shard, Call(it.saga_id, it.expected_version + len(it.events)))
        for it in batch
        if it.shard is not None and it.epoch is None
    }
    claims = [number for append in batch for number in append.claims]
    return Beside(claims, sorted(fences), [*calls.values()])
