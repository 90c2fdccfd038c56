"""Our recorders pass `eventsourcing`'s own recorder test cases, with text ids, on memory, SQLite and PostgreSQL.

The stock cases begin streams at version 0 or 1 and go on without gaps, so that our refusal of gaps is in the way of
none of them. What they can't know of stands below: that refusal, and several connections at one log.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

import eventsourcing.popo
import eventsourcing.postgres
import eventsourcing.sqlite
import psycopg
import pytest
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    InfrastructureFactory,
    IntegrityError,
    StoredEvent,
    TrackingRecorder,
)
from eventsourcing.tests import persistence as stock  # needs pycryptodome, of eventsourcing[crypto]
from eventsourcing.utils import Environment

from saga_es.store.address import environment
from saga_es.store.recorders.memory import SagaMemoryFactory, SagaMemoryRecorder
from saga_es.store.recorders.postgres import SagaPostgresFactory, SagaPostgresRecorder
from saga_es.store.recorders.sqlite import SagaSQLiteFactory, SagaSQLiteRecorder
from tests.support.stores import Place, place_of

PATIENCE = 30  # seconds for another thread, or connection, to be heard of

# -- where the stock cases run -----------------------------------------------------------------------


class OnAPlace:
    """Gives each stock case an empty store of its own."""

    kind: ClassVar[str]
    factory_class: ClassVar[type[InfrastructureFactory]]
    recorder_class: ClassVar[type[ApplicationRecorder]]
    stock_module: ClassVar[object]
    stock_prefix: ClassVar[str]

    @pytest.fixture(autouse=True)
    def _stand_there(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
        with ExitStack() as stack:
            self.place = place_of(self.kind, request.getfixturevalue, tmp_path, stack)
            yield

    def create_recorder(self) -> ApplicationRecorder:
        recorder = self.place.open().recorder
        assert type(recorder) is self.recorder_class
        return recorder

    def new_originator_id(self) -> str:
        return f"trip-{secrets.token_hex(8)}"


class OnMemory(OnAPlace):
    kind, factory_class, recorder_class = "memory", SagaMemoryFactory, SagaMemoryRecorder
    stock_module, stock_prefix = eventsourcing.popo, "POPO"


class OnSQLite(OnAPlace):
    kind, factory_class, recorder_class = "sqlite", SagaSQLiteFactory, SagaSQLiteRecorder
    stock_module, stock_prefix = eventsourcing.sqlite, "SQLite"


class OnPostgres(OnAPlace):
    kind, factory_class, recorder_class = "postgresql", SagaPostgresFactory, SagaPostgresRecorder
    stock_module, stock_prefix = eventsourcing.postgres, "Postgres"


# -- streams -----------------------------------------------------------------------------------------


class WithoutIds(AggregateRecorder):
    """An application's recorder as an aggregate's: they differ in that this one's inserts return no ids."""

    def __init__(self, recorder: ApplicationRecorder) -> None:
        self._recorder = recorder

    def insert_events(self, stored_events: Sequence[StoredEvent], **more: object) -> None:
        self._recorder.insert_events(stored_events, **more)

    def select_events(self, originator_id: str, **wanted: object) -> Sequence[StoredEvent]:
        return self._recorder.select_events(originator_id, **wanted)


class OfStreams:
    def create_recorder(self) -> AggregateRecorder:
        return WithoutIds(super().create_recorder())


class TestStreamsInMemory(OfStreams, OnMemory, stock.AggregateRecorderTestCase):
    pass


class TestStreamsOnSQLite(OfStreams, OnSQLite, stock.AggregateRecorderTestCase):
    pass


class TestStreamsOnPostgres(OfStreams, OnPostgres, stock.AggregateRecorderTestCase):
    pass


# -- the log -----------------------------------------------------------------------------------------


class TestLogInMemory(OnMemory, stock.ApplicationRecorderTestCase):
    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestLogOnSQLite(OnSQLite, stock.ApplicationRecorderTestCase):
    def test_there_are_no_subscriptions(self) -> None:  # nor does `eventsourcing`'s own recorder have them
        with pytest.raises(NotImplementedError):
            self.create_recorder().subscribe()


class TestLogOnPostgres(OnPostgres, stock.ApplicationRecorderTestCase):
    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestOrderInMemory(OnMemory, stock.NonInterleavingNotificationIDsBaseCase):
    pass


class TestOrderOnSQLite(OnSQLite, stock.NonInterleavingNotificationIDsBaseCase):
    pass


class TestOrderOnPostgres(OnPostgres, stock.NonInterleavingNotificationIDsBaseCase):
    pass


# -- factories: what of theirs is not ours is `eventsourcing`'s own, and works in our database --------


class OfFactories:
    def setUp(self) -> None:
        address = self.place.address
        self.place.open()  # so that there is a schema
        self.env = Environment("App", environment(address) if isinstance(address, str) else dict(address))
        super().setUp()

    def stock_class(self, name: str) -> type:
        return getattr(self.stock_module, f"{self.stock_prefix}{name}")

    def expected_factory_class(self) -> type[InfrastructureFactory]:
        return self.factory_class

    def expected_application_recorder_class(self) -> type[ApplicationRecorder]:
        return self.recorder_class

    def expected_aggregate_recorder_class(self) -> type[AggregateRecorder]:
        return self.stock_class("AggregateRecorder")

    def expected_process_recorder_class(self) -> type[ApplicationRecorder]:
        return self.stock_class("ProcessRecorder")

    def expected_tracking_recorder_class(self) -> type[TrackingRecorder]:
        return self.stock_class("TrackingRecorder")

    def tracking_recorder_subclass(self) -> type[TrackingRecorder]:
        return TRACKING[self.kind]


class MemoryTracking(eventsourcing.popo.POPOTrackingRecorder):
    pass


class SQLiteTracking(eventsourcing.sqlite.SQLiteTrackingRecorder):
    pass


class PostgresTracking(eventsourcing.postgres.PostgresTrackingRecorder):
    pass


TRACKING = {"memory": MemoryTracking, "sqlite": SQLiteTracking, "postgresql": PostgresTracking}


class TestFactoryForMemory(OfFactories, OnMemory, stock.InfrastructureFactoryTestCase):
    pass


class TestFactoryForSQLite(OfFactories, OnSQLite, stock.InfrastructureFactoryTestCase):
    pass


class TestFactoryForPostgres(OfFactories, OnPostgres, stock.InfrastructureFactoryTestCase):
    pass


# -- what the stock cases do not ask ------------------------------------------------------------------


def row(stream: str, version: int) -> StoredEvent:
    return StoredEvent(stream, version, "topic", b"state")


def rows(stream: str, count: int) -> list[StoredEvent]:
    return [row(stream, version) for version in range(1, count + 1)]


@pytest.mark.promise("invariant.1")
def test_a_version_without_its_predecessor_is_refused(place: Place):
    recorder = place.open().recorder
    recorder.insert_events(rows("a", 2))
    for refused in ([row("b", 2)], [row("a", 4)], [row("c", 1), row("a", 4)], [*rows("c", 2), row("b", 2)]):
        with pytest.raises(IntegrityError):
            recorder.insert_events(refused)
    assert [recorder.select_events(stream) for stream in "abc"] == [rows("a", 2), [], []]
    assert [it.originator_version for it in recorder.select_notifications(None, 10)] == [1, 2]
    recorder.insert_events([row("a", 3), *rows("b", 1)])
    assert recorder.select_events("a") == rows("a", 3)


def test_places_before_the_first_are_its_own(place: Place):
    recorder = place.open().recorder
    recorder.insert_events(rows("a", 2))
    for start in (0, -1):
        assert [it.id for it in recorder.select_notifications(start, 10)] == [1, 2]


def test_others_that_append_at_once_hide_nothing_from_a_follower(shared_place: Place):
    """Ids are committed in order: nobody who follows passes over a place that is filled later."""
    writers = [shared_place.open().recorder for _ in range(4)]
    reader = shared_place.open().recorder
    start, batches, size = threading.Barrier(len(writers) + 1), 15, 20
    errors: list[Exception] = []

    def write(recorder: ApplicationRecorder, name: int) -> None:
        start.wait(PATIENCE)
        try:
            for n in range(batches):
                recorder.insert_events(rows(f"{name}/{n}", size))
        except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
            errors.append(error)

    threads = [threading.Thread(target=write, args=it) for it in zip(writers, range(4), strict=True)]
    for thread in threads:
        thread.start()
    start.wait(PATIENCE)
    seen: list[tuple[str, int]] = []
    position, is_over = 0, False
    while not is_over:
        is_over = not any(thread.is_alive() for thread in threads)
        for it in reader.select_notifications(position, 100_000, inclusive_of_start=False):
            seen.append((it.originator_id, it.originator_version))
            position = it.id
    assert errors == []
    assert sorted(seen) == [
        (f"{name}/{n}", version)
        for name in range(4)
        for n in sorted(range(batches), key=str)
        for version in range(1, size + 1)
    ]
    together = [seen[at : at + size] for at in range(0, len(seen), size)]
    assert all(len({stream for stream, _ in batch}) == 1 for batch in together)


@pytest.fixture(params=["memory", "postgresql"])
def subscribed_place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with ExitStack() as stack:
        yield place_of(str(request.param), request.getfixturevalue, tmp_path, stack)


def test_a_subscription_hears_all_that_others_append(subscribed_place: Place):
    subscriber, writer = subscribed_place.open().recorder, subscribed_place.open().recorder
    heard: list[tuple[str, int]] = []

    def listen() -> None:
        with subscriber.subscribe() as subscription:
            for it in subscription:
                heard.append((it.originator_id, it.originator_version))
                if it.originator_id == "the end":
                    return

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    for n in range(20):
        writer.insert_events(rows(f"batch {n}", 100))
    writer.insert_events(rows("the end", 1))
    listener.join(PATIENCE)
    assert heard == [
        *((f"batch {n}", version) for n in range(20) for version in range(1, 101)),
        ("the end", 1),
    ]


def test_a_subscription_misses_nothing_while_it_begins(subscribed_place: Place):
    subscriber, writer = subscribed_place.open().recorder, subscribed_place.open().recorder
    for position in range(20):
        heard: list[int] = []
        has_begun = threading.Event()

        def listen(gt: int, heard: list[int], has_begun: threading.Event) -> None:
            with subscriber.subscribe(gt=gt) as subscription:
                has_begun.set()
                heard.append(next(subscription).originator_version)

        listener = threading.Thread(target=listen, args=(position, heard, has_begun), daemon=True)
        listener.start()
        assert has_begun.wait(PATIENCE)
        writer.insert_events([row("a", position + 1)])  # nothing follows that would tell of it once more
        listener.join(PATIENCE)
        assert heard == [position + 1]


def test_a_subscription_leaves_nobody_listening(postgres_url: str):
    place = Place("postgresql", postgres_url, ExitStack())
    with place.stack:
        recorder = place.open().recorder
        recorder.insert_events(rows("a", 1))
        with recorder.subscribe() as subscription:
            next(subscription)
        with recorder.datastore.get_connection() as first, recorder.datastore.get_connection() as second:
            listening = [it.execute("SELECT pg_listening_channels()").fetchall() for it in (first, second)]
        assert listening == [[], []]


def test_appends_notify_unless_told_otherwise(postgres_url: str):
    place = Place("postgresql", postgres_url, ExitStack())
    with place.stack, psycopg.connect(postgres_url, autocommit=True) as listener:
        silent, speaking = place.open(POSTGRES_NOTIFY="no").recorder, place.open().recorder
        listener.execute("LISTEN saga_log")
        silent.insert_events(rows("a", 3))
        speaking.insert_events(rows("b", 3))
        told = [it.pid for it in listener.notifies(timeout=PATIENCE, stop_after=1)]
        assert told == [
            speaking._writer.info.backend_pid
        ]  # commits are told in order: the silent one came first
