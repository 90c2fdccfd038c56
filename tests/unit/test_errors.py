"""Errors are promises: which there are, what they carry, and that they say what happened, why and what to do."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable

import pytest
from eventsourcing.persistence import StoredEvent

import saga_es
from saga_es import SagaClient, SagaEngine, errors
from saga_es.errors import (
    CopyConflict,
    DefinitionError,
    EngineClosed,
    IllegalTransition,
    InvalidInput,
    MissingExtra,
    PastPivot,
    PayloadTooLarge,
    Rejected,
    SagaAlreadyEnded,
    SagaError,
    SagaFailed,
    SagaIdConflict,
    SignalConflict,
    StoredEventError,
    StoreInUse,
    StoreSchemaError,
    StoreUnavailable,
    UnknownDefinition,
    UnknownSaga,
    UnknownSignal,
    UnknownStep,
    VersionConflict,
)
from saga_es.store.address import open_store
from saga_es.store.application import SagaApplication

EACH: list[tuple[SagaError, dict[str, object], str]] = [
    (DefinitionError("no", where="trip.a"), {"where": "trip.a"}, "trip.a: no"),
    (UnknownSaga("s"), {"saga_id": "s"}, "no saga 's'"),
    (
        UnknownDefinition("trip", version=2, known=("a", "b")),
        {"name": "trip", "version": 2, "known": ("a", "b")},
        "'trip' version 2 is registered here (known: a, b)",
    ),
    (
        UnknownStep("z", saga_id="s", known=("a", "b")),
        {"step": "z", "saga_id": "s", "known": ("a", "b")},
        "has no step 'z'; it has a, b",
    ),
    (
        UnknownSignal("z", saga_id="s", known=()),
        {"signal": "z", "saga_id": "s", "known": ()},
        "has no signal 'z'; it has none",
    ),
    (SignalConflict("w", saga_id="s"), {"signal": "w", "saga_id": "s"}, "another payload"),
    (
        SagaIdConflict("s", definition="trip", recorded="trip"),
        {"saga_id": "s", "definition": "trip", "recorded": "trip"},
        "with another input",
    ),
    (
        SagaIdConflict("s", definition="trip", recorded="walk"),
        {"saga_id": "s", "definition": "trip", "recorded": "walk"},
        "of 'walk'",
    ),
    (
        SagaAlreadyEnded("s", status="failed", asked="CancelSaga"),
        {"saga_id": "s", "status": "failed", "asked": "CancelSaga"},
        "has ended (failed)",
    ),
    (PastPivot("s", pivot="pay"), {"saga_id": "s", "pivot": "pay"}, "its pivot 'pay'"),
    (
        IllegalTransition(
            "step 'a'", status="waiting", trigger="StepSucceeded", allowed=("A", "B"), why="so"
        ),
        {
            "what": "step 'a'",
            "status": "waiting",
            "trigger": "StepSucceeded",
            "allowed": ("A", "B"),
            "why": "so",
        },
        "not allowed: so. Allowed there: A, B.",
    ),
    (
        InvalidInput("saga_id", problem="empty"),
        {"what": "saga_id", "problem": "empty"},
        "saga_id is not valid",
    ),
    (
        PayloadTooLarge("the input", size=9, limit=8),
        {"what": "the input", "size": 9, "limit": 8, "unit": "bytes"},
        "Settings.max_payload",
    ),
    (
        PayloadTooLarge("the input", size=9, limit=8, unit="levels"),
        {"what": "the input", "size": 9, "limit": 8, "unit": "levels"},
        "Settings.max_depth",
    ),
    (StoreInUse("sqlite:///x", holder="pid 7"), {"store": "sqlite:///x", "holder": "pid 7"}, "(pid 7)"),
    (StoreUnavailable("x", problem="down"), {"store": "x", "problem": "down"}, "does not answer: down"),
    (StoreSchemaError("x", found=None, expected=2), {"store": "x", "found": None, "expected": 2}, "migrate"),
    (StoreSchemaError("x", found=1, expected=2), {"store": "x", "found": 1, "expected": 2}, "migrate"),
    (
        StoreSchemaError("x", found=3, expected=2),
        {"store": "x", "found": 3, "expected": 2},
        "upgrade saga_es",
    ),
    (MissingExtra("web", needed_for="the page"), {"extra": "web"}, "pip install 'saga_es[web]'"),
    (
        SagaFailed("s", ending="residue", cause="no rooms", residue=("a", "b")),
        {"saga_id": "s", "ending": "residue", "cause": "no rooms", "residue": ("a", "b")},
        "failed (residue): no rooms; still stands: a, b",
    ),
    (EngineClosed("start"), {"asked": "start"}, "async with"),
    (
        StoredEventError("s", version=2, type="Odd", problem="unknown"),
        {"saga_id": "s", "version": 2, "type": "Odd", "problem": "unknown"},
        "event 2 of saga 's'",
    ),
    (VersionConflict("s", expected=3), {"saga_id": "s", "expected": 3}, "version 3"),
    (
        CopyConflict("s", version=3, store="sqlite:///x", problem="event 3 there is another one"),
        {"saga_id": "s", "version": 3, "store": "sqlite:///x", "problem": "event 3 there is another one"},
        "saga 's' can't be copied to sqlite:///x: event 3 there",
    ),
]


@pytest.mark.parametrize(("error", "fields", "says"), EACH, ids=lambda value: type(value).__name__)
def test_an_error_carries_its_values_and_says_them(error, fields, says):
    assert {name: getattr(error, name) for name in fields} == fields
    assert says in str(error)
    assert str(error)[-1] in ".)" or isinstance(error, DefinitionError)


@pytest.mark.promise("error.SagaError", "error.Rejected")
def test_all_that_the_library_raises_is_a_saga_error_and_rejected_is_the_user_s():
    raised = {
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)
    }
    assert raised - {SagaError, Rejected} == {type(error) for error, _, _ in EACH}
    assert all(issubclass(kind, SagaError) for kind in raised - {Rejected})
    assert not issubclass(Rejected, SagaError)
    assert str(saga_es.Rejected("no rooms")) == "no rooms"


@pytest.mark.parametrize(
    ("error", "also"),
    [
        (UnknownSaga, LookupError), (UnknownDefinition, LookupError), (UnknownStep, LookupError),
        (UnknownSignal, LookupError), (InvalidInput, ValueError), (PayloadTooLarge, ValueError),
        (MissingExtra, ImportError),
    ],
)  # fmt: skip
def test_an_error_is_caught_as_what_python_would_raise(error, also):
    assert issubclass(error, also)


# -- where they come from ------------------------------------------------------------------------------

BY = {"by": "ann", "reason": "because"}
VERBS: dict[str, Callable[[SagaEngine | SagaClient], Awaitable[object]]] = {
    "start": lambda face: face.start("trip", {}),
    "outcome": lambda face: face.outcome("s"),
    "history": lambda face: face.history("s"),
    "find": lambda face: face.find(),
    "signal": lambda face: face.signal("s", "w", 1),
    "cancel": lambda face: face.cancel("s", **BY),
    "pause": lambda face: face.pause("s", **BY),
    "resume": lambda face: face.resume("s", **BY),
    "retry": lambda face: face.retry("s", "a", **BY),
    "skip": lambda face: face.skip("s", "a", **BY),
    "supply_result": lambda face: face.supply_result("s", "a", 1, **BY),
    "supply_rejection": lambda face: face.supply_rejection("s", "a", **BY),
    "force_compensated": lambda face: face.force_compensated("s", "a", **BY),
}


@pytest.mark.promise("error.EngineClosed")
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("kind", [SagaEngine, SagaClient])
def test_nothing_is_asked_of_an_engine_or_client_that_is_not_open(kind, verb):
    async def main() -> None:
        face = kind("memory://", sagas=[])
        with pytest.raises(EngineClosed):
            await VERBS[verb](face)
        async with face:
            assert len((await face.find()).items) == 0
        with pytest.raises(EngineClosed) as left:
            await VERBS[verb](face)
        assert left.value.asked

    asyncio.run(main())


@pytest.mark.promise("error.StoreSchemaError")
def test_a_file_without_tables_is_not_read(tmp_path):
    with pytest.raises(StoreSchemaError) as caught:
        open_store(f"sqlite:///{tmp_path}/empty.db", migrate=False)
    assert caught.value.store == f"sqlite:///{tmp_path}/empty.db"
    assert caught.value.found is None
    assert caught.value.expected >= 1


@pytest.mark.promise("error.MissingExtra")
@pytest.mark.parametrize("missing", ["psycopg", "psycopg_pool"])
def test_postgresql_without_its_driver_says_what_to_install(missing):
    code = f"""
import importlib.util, sys
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == {missing!r} else find_spec(name, *rest)
from saga_es.errors import MissingExtra
from saga_es.store.address import open_store
try:
    open_store("postgresql://ann@127.0.0.1/sagas")
except MissingExtra as error:
    print(error.extra, "saga_es[postgres]" in str(error))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "postgres True\n"


@pytest.mark.promise("error.StoredEventError", "case.poison")
@pytest.mark.parametrize(
    ("topic", "state", "says"),
    [
        ("os:system", b'{"at":"2026-01-01T00:00:00+00:00","data":{}}', "os:system"),
        ("StepSucceeded", b'{"at":"2026-01-01T00:00:00+00:00","data":{"step":"a"}}', "attempt"),
        ("StepSucceeded", b"\xff", ""),
    ],
)
def test_a_row_that_is_no_event_is_named_and_imports_nothing(topic, state, says):
    store: SagaApplication = open_store("memory://")
    try:
        with pytest.raises(StoredEventError) as caught:
            store.mapper.decode(StoredEvent("s", 3, topic, state))
        assert (caught.value.saga_id, caught.value.version, caught.value.type) == ("s", 3, topic)
        assert says in str(caught.value)
    finally:
        store.close()
