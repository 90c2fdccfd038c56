"""From stored bytes to events: older schemas through their upcasters, newer and strange ones refused."""

from __future__ import annotations

import json
import sqlite3
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest
from eventsourcing.persistence import JSONTranscoder, StoredEvent
from pydantic import JsonValue

from saga_es.errors import StoredEventError
from saga_es.model.events import EVENT_TYPES, Event, Recorded, SagaStarted, StepRejected
from saga_es.model.problem import Problem, ProblemKind
from saga_es.store.address import environment, open_store
from saga_es.store.application import SagaApplication
from saga_es.store.mapper import SagaMapper
from tests.support.stores import prepare

AT = datetime(2026, 11, 24, 5, 0, 0, 123456, tzinfo=UTC)
SAID_AT = '"at":"2026-11-24T05:00:00.123456Z"'

# -- a log on disk, and the code that has moved on since ---------------------------------------------

# As version 1 of the events below wrote them.
STARTED = (
    b'{"at":"2026-11-24T05:00:00.123456Z","data":{"name":"trip","definition_version":1,"digest":"sha256:0",'
    b'"input":{"customer":"Kevin"}}}'
)
REJECTED = (
    b'{"at":"2026-11-24T05:00:01.000000Z","data":{"step":"hotel","attempt":1,"error":"no rooms"},'
    b'"metadata":{"by":"ann"}}'
)
LOG: list[tuple[str, int, str, bytes]] = [
    ("trip-42", 1, "SagaStarted", STARTED),
    ("trip-42", 2, "StepRejected", REJECTED),
    ("trip-42", 3, "SagaSucceeded", b'{"at":"2026-11-24T05:00:02.000000Z","data":{}}'),
]


class StartedV2(SagaStarted):
    """Its field ``name`` became ``definition``."""

    schema_version: ClassVar[int] = 2

    @staticmethod
    def upcast_v1_v2(data: dict[str, JsonValue]) -> dict[str, JsonValue]:
        return {"definition" if name == "name" else name: value for name, value in data.items()}


class StartedV3(SagaStarted):
    """And there is a ``region`` since."""

    schema_version: ClassVar[int] = 3
    region: str

    upcast_v1_v2 = staticmethod(StartedV2.upcast_v1_v2)

    @staticmethod
    def upcast_v2_v3(data: dict[str, JsonValue]) -> dict[str, JsonValue]:
        return {**data, "region": "everywhere"}


class RejectedV2(StepRejected):
    """Its ``error`` was the message alone."""

    schema_version: ClassVar[int] = 2

    @staticmethod
    def upcast_v1_v2(data: dict[str, JsonValue]) -> dict[str, JsonValue]:
        return {**data, "error": {"kind": "rejected", "type": "Rejected", "message": data["error"]}}


V2: dict[str, type[Event]] = {**EVENT_TYPES, "SagaStarted": StartedV2, "StepRejected": RejectedV2}
V3: dict[str, type[Event]] = {**V2, "SagaStarted": StartedV3}


def mapper(events: dict[str, type[Event]]) -> SagaMapper:
    return SagaMapper(JSONTranscoder(), events=events)


def opened(path: Path, events: dict[str, type[Event]]) -> SagaApplication:
    """Open a SQLite store as a program with these event classes would."""

    class Registered(SagaMapper):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, events=events, **options)

    class Program(SagaApplication):
        def construct_mapper(self) -> SagaMapper:
            return self.factory.mapper(transcoder=self.construct_transcoder(), mapper_class=Registered)

    url = f"sqlite:///{path}"
    return Program(environment(url), url=url)


@pytest.fixture
def old_log(tmp_path: Path) -> Path:
    path = tmp_path / "sagas.db"
    open_store(f"sqlite:///{path}").close()
    columns = "originator_id, originator_version, topic, state"
    db = sqlite3.connect(path)
    with db:
        db.executemany(f"INSERT INTO saga_log ({columns}) VALUES (?, ?, ?, ?)", LOG)
    db.close()
    return path


NO_ROOMS = Problem(kind=ProblemKind.REJECTED, type="Rejected", message="no rooms")


@pytest.mark.parametrize(
    ("events", "started"),
    [
        (
            V2,
            StartedV2(
                definition="trip", definition_version=1, digest="sha256:0", input={"customer": "Kevin"}
            ),
        ),
        (
            V3,
            StartedV3(
                definition="trip",
                definition_version=1,
                digest="sha256:0",
                input={"customer": "Kevin"},
                region="everywhere",
            ),
        ),
    ],
    ids=["v2", "v3"],
)
def test_a_log_of_version_1_is_read_through_the_upcasters(old_log, events, started):
    store = opened(old_log, events)
    read = store.read("trip-42")
    assert read == (
        Recorded(1, "SagaStarted", AT, started, {}),
        Recorded(
            2,
            "StepRejected",
            datetime(2026, 11, 24, 5, 0, 1, tzinfo=UTC),
            RejectedV2(step="hotel", attempt=1, error=NO_ROOMS),
            {"by": "ann"},
        ),
        Recorded(
            3,
            "SagaSucceeded",
            datetime(2026, 11, 24, 5, 0, 2, tzinfo=UTC),
            EVENT_TYPES["SagaSucceeded"](),
            {},
        ),
    )
    assert [type(it.event).schema_version for it in read] == [started.schema_version, 2, 1]
    assert store.streams(["trip-42"])["trip-42"].events() == read
    kept = [
        (it.originator_id, it.originator_version, it.topic, it.state)
        for it in store.notification_log.select(1, 9)
    ]
    assert kept == LOG  # reading changes nothing
    store.close()


def test_versions_stand_side_by_side_in_one_stream(old_log):
    second = opened(old_log, V2)
    events = second.read("trip-42")
    append = prepare(
        second,
        "trip-42",
        expected_version=3,
        events=[events[0]._replace(version=4)],
        summary=None,
        is_open=True,
    )
    second.append([append])
    second.close()
    third = opened(old_log, V3)
    read = third.read("trip-42")
    assert read[3].event == read[0].event
    again = prepare(
        third, "trip-42", expected_version=4, events=[read[0]._replace(version=5)], summary=None, is_open=True
    )
    third.append([again])
    assert third.read("trip-42", after=4) == (read[0]._replace(version=5),)
    assert [json.loads(it.state).get("v") for it in third.notification_log.select(1, 9)] == [
        None,
        None,
        None,
        2,
        3,
    ]
    third.close()


@pytest.mark.promise("error.StoredEventError")
def test_a_newer_schema_than_known_is_an_error(old_log):
    third = opened(old_log, V3)
    (started, *_) = third.read("trip-42")
    for name in ("new", "sound"):
        third.append([prepare(third, name, expected_version=0, events=[started], summary=None, is_open=True)])
    third.close()
    second = opened(old_log, V2)
    with pytest.raises(StoredEventError) as error:
        second.read("new")
    assert (error.value.saga_id, error.value.version, error.value.type) == ("new", 1, "SagaStarted")
    assert error.value.problem == "its schema version is 3; known here are 1 to 2"
    assert len(second.read("trip-42")) == 3
    second.close()


@pytest.mark.parametrize(
    ("v", "problem"),
    [
        ("0", "its schema version is 0; known here are 1 to 3"),
        ("-1", "its schema version is -1; known here are 1 to 3"),
        ("4", "its schema version is 4; known here are 1 to 3"),
    ],
)
def test_a_version_out_of_range_is_an_error(v, problem):
    state = f'{{{SAID_AT},"data":{{}},"v":{v}}}'.encode()
    with pytest.raises(StoredEventError) as error:
        mapper(V3).decode(StoredEvent("trip-42", 7, "SagaStarted", state))
    assert (error.value.version, error.value.problem) == (7, problem)


def test_what_an_upcaster_makes_is_validated():
    class Careless(SagaStarted):
        schema_version: ClassVar[int] = 2

        @staticmethod
        def upcast_v1_v2(data: dict[str, JsonValue]) -> dict[str, JsonValue]:
            return {**data, "digest": None}

    with pytest.raises(StoredEventError) as error:
        mapper({"SagaStarted": Careless}).decode(StoredEvent(*LOG[0]))
    assert error.value.problem == "definition: Field required"


def test_an_upcaster_that_fails_or_is_missing_is_an_error_of_that_event():
    class Failing(SagaStarted):
        schema_version: ClassVar[int] = 2

        @staticmethod
        def upcast_v1_v2(data: dict[str, JsonValue]) -> dict[str, JsonValue]:
            raise KeyError("region")

    class Missing(SagaStarted):
        schema_version: ClassVar[int] = 2

    for kind, said in ((Failing, "KeyError"), (Missing, "upcast_v1_v2")):
        with pytest.raises(StoredEventError) as error:
            mapper({"SagaStarted": kind}).decode(StoredEvent(*LOG[0]))
        assert (error.value.saga_id, error.value.version, error.value.type) == ("trip-42", 1, "SagaStarted")
        assert said in error.value.problem


# -- what is stored never imports anything -----------------------------------------------------------


@pytest.mark.promise("error.StoredEventError")
@pytest.mark.parametrize(
    "topic",
    [
        "os:system",
        "antigravity:geohash",  # a module that nobody has imported, and that would be seen
        "saga_es.model.events:SagaStarted",  # as `eventsourcing` would name it
        "SagaDefined",  # a plan's name, in a saga's stream
        "Event",
        "",
    ],
)
def test_a_topic_is_a_name_in_the_registry_or_an_error(topic):
    known = set(sys.modules)
    stored = StoredEvent("trip-42", 2, topic, f'{{{SAID_AT},"data":{{}}}}'.encode())
    with pytest.raises(StoredEventError) as error:
        mapper(dict(EVENT_TYPES)).decode(stored)
    assert (error.value.saga_id, error.value.version, error.value.type) == ("trip-42", 2, topic)
    with pytest.raises(StoredEventError):
        mapper(dict(EVENT_TYPES)).to_domain_event(stored)
    assert set(sys.modules) == known
    assert "antigravity" not in sys.modules


# -- validation --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ('{"step":"a","attempt":1}', "result: Field required"),
        ('{"step":"a","attempt":1,"result":1,"extra":1}', "extra: Extra inputs are not permitted"),
        ('{"step":7,"attempt":1,"result":1}', "step: Input should be a valid string"),
        ('{"step":"a","attempt":1.5,"result":1}', "attempt: Input should be a valid integer"),
        ("[]", "data: Input should be"),
        ("null", "data: Input should be"),
    ],
)
def test_data_is_validated(data, problem):
    stored = StoredEvent("trip-42", 2, "StepSucceeded", f'{{{SAID_AT},"data":{data}}}'.encode())
    with pytest.raises(StoredEventError) as error:
        mapper(dict(EVENT_TYPES)).decode(stored)
    assert error.value.problem.startswith(problem)


@pytest.mark.parametrize(
    "state",
    [
        b'{"data":{}}',
        b'{"at":"2026-11-24T05:00:00.123456Z"}',
        b'{"at":1764000000,"data":{}}',
        b'{"at":"2026-11-24T05:00:00.123456","data":{}}',
        b'{"at":"2026-11-24T05:00:00.123456Z","data":{},"metadata":[]}',
        b'{"at":"2026-11-24T05:00:00.123456Z","data":{},"who":"ann"}',
        b'{"at":"2026-11-24T05:00:00.123456Z","data":{},"v":"one"}',
        b'{"at":"2026-11-24T05:00:00.123456Z","data":{}',
        b"[]",
    ],
)
def test_what_stands_beside_the_data_is_validated(state):
    with pytest.raises(StoredEventError) as error:
        mapper(dict(EVENT_TYPES)).decode(StoredEvent("trip-42", 2, "SagaSucceeded", state))
    assert (error.value.saga_id, error.value.version, error.value.type) == ("trip-42", 2, "SagaSucceeded")
    assert error.value.problem
