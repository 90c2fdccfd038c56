from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import pytest
from eventsourcing.persistence import StoredEvent

from saga_es.errors import StoredEventError, StoreUnavailable, VersionConflict
from saga_es.runtime.writer import LONGEST_DELAY, Writer
from saga_es.store.port import Append

AWAY = StoreUnavailable("memory://", problem="scripted")


class BadBytesError(Exception):
    """What a database says of data it can't take."""


def events(saga_id: str, expected: int, count: int = 1) -> Append:
    stored = tuple(
        StoredEvent(uuid5(NAMESPACE_OID, saga_id), expected + n + 1, "SagaStarted", b"{}")
        for n in range(count)
    )
    return Append(saga_id, expected, stored, None, is_open=True)


@dataclass
class ScriptedStore:
    """The writer's part of a store, in memory; `faults` are raised by (or around) the next appends, in order."""

    url: str = "memory://"
    streams: dict[str, list[StoredEvent]] = field(default_factory=dict)
    batches: list[list[tuple[str, int]]] = field(default_factory=list)
    read_back: list[str] = field(default_factory=list)
    faults: list[Exception | None] = field(default_factory=list)
    lost_answers: int = 0  # commits that succeed and raise StoreUnavailable all the same
    deaf: int = 0  # how many read-backs find the store away
    poison: frozenset[str] = frozenset()  # sagas whose bytes the store refuses
    unreadable: frozenset[str] = frozenset()
    names_the_guilty: bool = True
    gate: threading.Event | None = None  # an append waits for it
    entered: threading.Event = field(default_factory=threading.Event)

    def append(self, batch: Sequence[Append]) -> None:
        self.batches.append([(append.saga_id, append.expected_version) for append in batch])
        self.entered.set()
        if self.gate is not None:
            assert self.gate.wait(10)
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            raise fault
        written = {append.saga_id: list(self.streams.get(append.saga_id, [])) for append in batch}
        for append in batch:
            stream = written[append.saga_id]
            assert append.expected_version <= len(stream), "a gap"
            if append.expected_version < len(stream):
                guilty = append.saga_id if self.names_the_guilty else "?"
                raise VersionConflict(guilty, expected=append.expected_version)
            if append.saga_id in self.poison:
                raise BadBytesError(append.saga_id)
            stream.extend(append.events)
        self.streams.update(written)
        if self.lost_answers:
            self.lost_answers -= 1
            raise AWAY

    def already_recorded(self, append: Append) -> bool:
        self.read_back.append(append.saga_id)
        if self.deaf:
            self.deaf -= 1
            raise AWAY
        if append.saga_id in self.unreadable:
            raise StoredEventError(append.saga_id, version=1, type="?", problem="scripted")
        start = append.expected_version
        standing = self.streams.get(append.saga_id, [])[start : start + len(append.events)]
        return [id(event) for event in standing] == [id(event) for event in append.events]

    def versions(self) -> dict[str, int]:
        return {saga_id: len(stream) for saga_id, stream in self.streams.items()}


class Desk:
    """A writer with a gate before its first commit, so that what is put gathers in one batch."""

    def __init__(self, store: ScriptedStore, **options: Any) -> None:
        self.store = store
        self.pauses: list[timedelta] = []
        self.answers: list[tuple[str, int, Exception | None]] = []
        self.turns: list[int] = []
        self.turn = 0
        self.on_pause: Callable[[], None] = lambda: None
        store.gate = threading.Event()
        self.writer = Writer(store, pause=self.pause, chance=lambda: 1.0, **options)  # type: ignore[arg-type]
        self.opening = self.put("opening", 0)
        assert store.entered.wait(10)

    def pause(self, delay: timedelta, closing: threading.Event) -> None:
        self.pauses.append(delay)
        self.on_pause()

    def put(self, saga_id: str, expected: int, count: int = 1) -> asyncio.Future[Exception | None]:
        future: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

        def done(error: Exception | None) -> None:
            self.answers.append((saga_id, expected, error))
            self.turns.append(self.turn)
            future.set_result(error)

        self.writer.put(events(saga_id, expected, count), done)
        return future

    async def open(self) -> None:
        assert self.store.gate is not None
        self.store.gate.set()
        await self.opening

    def outcomes(self) -> dict[tuple[str, int], type[Exception] | None]:
        return {
            (saga_id, expected): type(error) if error else None
            for saga_id, expected, error in self.answers
            if saga_id != "opening"
        }


def at_desk(store: ScriptedStore, story: Callable[[Desk], Awaitable[None]], **options: Any) -> Desk:
    async def main() -> Desk:
        desk = Desk(store, **options)
        await story(desk)
        await desk.writer.close()
        assert desk.writer.unavailable is None
        return desk

    return asyncio.run(asyncio.wait_for(main(), 30))


def test_what_gathers_during_a_commit_is_the_next_batch_and_is_answered_at_once():
    async def story(desk: Desk) -> None:
        waiting = [desk.put(f"s{n}", 0) for n in range(100)]
        scheduled: list[object] = []
        loop = asyncio.get_running_loop()
        plain = loop.call_soon_threadsafe
        loop.call_soon_threadsafe = lambda *args, **kw: (scheduled.append(args[0]), plain(*args, **kw))[1]  # type: ignore[method-assign]
        await desk.open()
        assert await asyncio.gather(*waiting) == [None] * 100
        loop.call_soon_threadsafe = plain  # type: ignore[method-assign]
        assert len(scheduled) == 2  # one for each batch

    desk = at_desk(ScriptedStore(), story)
    assert [len(batch) for batch in desk.store.batches] == [1, 100]
    assert desk.store.versions() == {"opening": 1} | {f"s{n}": 1 for n in range(100)}


def test_a_batch_is_bounded_by_events_but_never_empty():
    async def story(desk: Desk) -> None:
        waiting = [desk.put("a", 0, 4), desk.put("b", 0, 4), desk.put("c", 0, 25), desk.put("d", 0, 1)]
        await desk.open()
        await asyncio.gather(*waiting)

    desk = at_desk(ScriptedStore(), story, max_events=10)
    assert [[saga for saga, _ in batch] for batch in desk.store.batches] == [
        ["opening"],
        ["a", "b"],
        ["c"],
        ["d"],
    ]


def test_appends_of_one_saga_keep_their_order_within_a_batch_too():
    async def story(desk: Desk) -> None:
        waiting = [desk.put("a", n) for n in range(7)]
        await desk.open()
        await asyncio.gather(*waiting)

    desk = at_desk(ScriptedStore(), story, max_events=3)
    assert [expected for _, expected, _ in desk.answers[1:]] == list(range(7))
    assert desk.store.versions()["a"] == 7


@pytest.mark.promise("invariant.14")
@pytest.mark.parametrize("named", [True, False])
def test_a_conflict_fails_only_its_saga(named: bool):
    store = ScriptedStore(streams={"s7": list(events("s7", 0, 3).events)}, names_the_guilty=named)

    async def story(desk: Desk) -> None:
        waiting = [desk.put(f"s{n}", 0) for n in range(20)]
        await desk.open()
        await asyncio.gather(*waiting)

    desk = at_desk(store, story)
    wrong = {key: error for key, error in desk.outcomes().items() if error}
    assert wrong == {("s7", 0): VersionConflict}
    assert store.versions() == {"opening": 1, "s7": 3} | {f"s{n}": 1 for n in range(20) if n != 7}


def test_many_guilty_sagas_of_one_batch_all_fail_and_nobody_else():
    guilty = {f"s{n}" for n in range(0, 256, 2)}
    store = ScriptedStore(streams={saga: list(events(saga, 0, 1).events) for saga in guilty})

    async def story(desk: Desk) -> None:
        waiting = [desk.put(f"s{n}", 0) for n in range(256)]
        await desk.open()
        await asyncio.gather(*waiting)

    desk = at_desk(store, story)
    assert {saga for (saga, _), error in desk.outcomes().items() if error is VersionConflict} == guilty


def test_a_conflict_with_our_own_commit_is_a_success():
    store = ScriptedStore()

    async def story(desk: Desk) -> None:
        mine = events("a", 0, 2)
        store.streams["a"] = list(mine.events)  # committed before, by a call whose answer was lost
        answer: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        desk.writer.put(mine, answer.set_result)
        follower, other = desk.put("a", 2), desk.put("b", 0)
        await desk.open()
        assert [await answer, await follower, await other] == [None, None, None]

    at_desk(store, story)
    assert store.versions() == {"opening": 1, "a": 3, "b": 1}


def test_data_the_store_refuses_fails_only_its_saga():
    store = ScriptedStore(poison=frozenset({"s3"}))

    async def story(desk: Desk) -> None:
        waiting = [desk.put(f"s{n}", 0) for n in range(10)]
        await desk.open()
        await asyncio.gather(*waiting)

    desk = at_desk(store, story)
    wrong = {key: error for key, error in desk.outcomes().items() if error}
    assert wrong == {("s3", 0): BadBytesError}
    assert store.read_back == []  # nothing but a conflict can be our own commit


@pytest.mark.parametrize("max_events", [256, 2, 1])
def test_with_an_append_fail_the_later_ones_of_its_saga(max_events: int):
    theirs = events("a", 0, 1).events
    store = ScriptedStore(streams={"a": list(theirs)})

    async def story(desk: Desk) -> None:
        waiting = [desk.put("a", 0), desk.put("b", 0), desk.put("a", 1), desk.put("a", 2), desk.put("b", 1)]
        await desk.open()
        await asyncio.gather(*waiting)

    desk = at_desk(store, story, max_events=max_events)
    conflict = VersionConflict
    assert desk.outcomes() == {
        ("a", 0): conflict, ("a", 1): conflict, ("a", 2): conflict, ("b", 0): None, ("b", 1): None,
    }  # fmt: skip
    assert [error.expected for _, _, error in desk.answers if isinstance(error, VersionConflict)] == [0, 1, 2]
    assert store.streams["a"] == list(theirs)


def test_what_is_put_before_the_failure_is_known_fails_and_what_comes_after_counts_anew():
    store = ScriptedStore(streams={"a": list(events("a", 0, 1).events)})

    async def story(desk: Desk) -> None:
        first = desk.put("a", 0)
        unaware = await desk.writer.call(lambda: "ahead")  # the writer is free between commits only
        assert unaware == "ahead"
        assert isinstance(await first, VersionConflict)
        assert await desk.put("a", 1) is None

    async def run(desk: Desk) -> None:
        opened = asyncio.ensure_future(desk.open())
        await story(desk)
        await opened

    at_desk(store, run)
    assert store.versions()["a"] == 2


def test_an_append_decided_in_ignorance_never_leaves_a_gap():
    # The loop is kept busy while the first append fails, and puts another that builds on it.
    store = ScriptedStore(streams={"a": list(events("a", 0, 1).events)})

    async def story(desk: Desk) -> None:
        first = desk.put("a", 0)
        assert store.gate is not None
        store.gate.set()
        waited = threading.Event()
        while len(store.batches) < 2:  # no turn of the loop in between
            waited.wait(0.001)
        second = desk.put("a", 1)
        third = desk.put("a", 2)
        assert isinstance(await first, VersionConflict)
        assert isinstance(await second, VersionConflict)
        assert isinstance(await third, VersionConflict)
        assert await desk.put("a", 1) is None

    at_desk(store, story)
    assert store.versions()["a"] == 2


@pytest.mark.promise("case.the-store-goes-away")
def test_a_commit_whose_answer_was_lost_is_read_back_not_written_twice():
    store = ScriptedStore(lost_answers=1)

    async def story(desk: Desk) -> None:
        await desk.open()
        assert desk.answers[0][2] is None

    desk = at_desk(store, story)
    assert store.batches == [[("opening", 0)]]
    assert store.versions() == {"opening": 1}
    assert desk.pauses == [timedelta(milliseconds=50)]


def test_while_the_store_is_away_the_batch_waits_and_nothing_is_acknowledged():
    store = ScriptedStore(faults=[AWAY, AWAY], deaf=1)
    seen: list[tuple[object, int]] = []

    async def story(desk: Desk) -> None:
        desk.on_pause = lambda: seen.append((desk.writer.unavailable, len(desk.answers)))
        waiting = [desk.put("a", 0), desk.put("b", 0)]
        await desk.open()
        assert await asyncio.gather(*waiting) == [None, None]

    desk = at_desk(store, story)
    assert seen == [(AWAY, 0)] * 3
    assert desk.pauses == [
        timedelta(milliseconds=50),
        timedelta(milliseconds=100),
        timedelta(milliseconds=200),
    ]
    assert store.versions() == {"opening": 1, "a": 1, "b": 1}


def test_delays_grow_to_five_seconds_are_jittered_and_begin_anew_after_an_answer():
    store = ScriptedStore(faults=[AWAY] * 12)
    chances = iter([0.0, 1.0] * 20)

    async def main() -> list[timedelta]:
        pauses: list[timedelta] = []
        writer = Writer(store, pause=lambda delay, _: pauses.append(delay), chance=lambda: next(chances))  # type: ignore[arg-type]
        for n in range(2):
            answered = asyncio.Event()
            writer.put(events("a", n), lambda _, answered=answered: answered.set())
            await answered.wait()
            store.faults = [AWAY] if n == 0 else []
        await writer.close()
        return pauses

    pauses = asyncio.run(main())
    assert pauses[:4] == [timedelta(milliseconds=ms) for ms in (25, 100, 100, 400)]
    assert pauses[11] == LONGEST_DELAY == max(pauses)
    assert pauses[12] == timedelta(milliseconds=25)


def test_what_was_settled_before_an_outage_is_not_held_back_by_it():
    # The batch falls apart on a conflict; its first part is committed, then the store goes away.
    store = ScriptedStore(streams={"guilty": list(events("guilty", 0, 1).events)})
    heard: list[str] = []

    async def story(desk: Desk) -> None:
        store.faults = [None, None, None, AWAY]  # opening, the whole, the innocent, the guilty
        told = threading.Event()

        def on_pause() -> None:
            loop.call_soon_threadsafe(lambda: (heard.extend(saga for saga, _, _ in desk.answers), told.set()))
            assert told.wait(10)

        loop = asyncio.get_running_loop()
        desk.on_pause = on_pause
        waiting = [desk.put("a", 0), desk.put("guilty", 0)]
        await desk.open()
        assert await waiting[0] is None
        assert isinstance(await waiting[1], VersionConflict)

    at_desk(store, story)
    assert heard == ["opening", "a"]


def test_a_saga_whose_stream_cannot_be_read_back_fails_alone():
    store = ScriptedStore(lost_answers=2, unreadable=frozenset({"b"}))

    async def story(desk: Desk) -> None:
        waiting = [desk.put("a", 0), desk.put("b", 0), desk.put("b", 1), desk.put("c", 0)]
        await desk.open()
        await asyncio.gather(*waiting)

    desk = at_desk(store, story)
    assert desk.outcomes() == {
        ("a", 0): None,
        ("b", 0): StoredEventError,
        ("b", 1): StoredEventError,
        ("c", 0): None,
    }


def test_calls_run_on_the_writers_thread_between_commits_and_during_an_outage():
    store = ScriptedStore(faults=[None, AWAY])

    async def story(desk: Desk) -> None:
        calls = [desk.writer.call(lambda: threading.current_thread().name) for _ in range(2)]
        paused: list[asyncio.Future[str]] = []
        asked = threading.Event()

        def on_pause() -> None:
            loop.call_soon_threadsafe(lambda: (paused.append(desk.writer.call(lambda: "away")), asked.set()))
            assert asked.wait(10)

        loop = asyncio.get_running_loop()
        desk.on_pause = on_pause
        late = desk.put("a", 0)
        await desk.open()
        assert await asyncio.gather(*calls) == ["saga_es-writer"] * 2
        with pytest.raises(BadBytesError):
            await desk.writer.call(fail)
        assert await late is None
        assert await paused[0] == "away"
        abandoned = desk.writer.call(lambda: 1)
        abandoned.cancel()
        assert await desk.writer.call(lambda: 2) == 2

    def fail() -> None:
        raise BadBytesError

    at_desk(store, story)


def test_close_writes_what_is_queued_and_then_refuses():
    store = ScriptedStore()

    async def main() -> None:
        desk = Desk(store)
        waiting = [desk.put(f"s{n}", 0) for n in range(600)]
        assert store.gate is not None
        store.gate.set()
        closing = [asyncio.ensure_future(desk.writer.close()) for _ in range(2)]
        await asyncio.gather(*closing)
        assert [await answer for answer in waiting] == [None] * 600
        refused = await desk.put("late", 0)
        assert isinstance(refused, StoreUnavailable)
        assert (refused.store, refused.problem) == ("memory://", "the writer is closed")
        with pytest.raises(StoreUnavailable):
            await desk.writer.call(lambda: 1)

    asyncio.run(main())
    assert len(store.versions()) == 601


def test_close_interrupts_an_outage_asks_a_last_time_and_says_what_is_not_recorded():
    store = ScriptedStore(faults=[AWAY] * 1_000, deaf=1_000)

    async def main() -> None:
        waits = threading.Event()

        def pause(delay: timedelta, closing: threading.Event) -> None:
            waits.set()
            assert closing.wait(10)

        answers: list[Exception | None] = []
        writer = Writer(store, pause=pause, max_events=1)  # type: ignore[arg-type]
        for n in range(3):
            writer.put(events(f"s{n}", 0), answers.append)
        while not waits.is_set():
            await asyncio.sleep(0)
        await writer.close()
        assert answers == [AWAY] * 3
        assert writer.unavailable is AWAY

    asyncio.run(main())
    assert len(store.batches) == 1
    assert len(store.read_back) == 2


def test_close_during_an_outage_writes_when_the_store_answers_the_last_time():
    store = ScriptedStore(faults=[AWAY])

    async def main() -> None:
        waits = threading.Event()

        def pause(delay: timedelta, closing: threading.Event) -> None:
            waits.set()
            assert closing.wait(10)

        answers: list[Exception | None] = []
        writer = Writer(store, pause=pause)  # type: ignore[arg-type]
        writer.put(events("a", 0), answers.append)
        while not waits.is_set():
            await asyncio.sleep(0)
        await writer.close()
        assert answers == [None]

    asyncio.run(main())
    assert store.versions() == {"a": 1}


def test_a_callback_that_raises_is_reported_and_loses_nobody_elses_answer():
    async def story(desk: Desk) -> None:
        reported: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

        def fail(error: Exception | None) -> None:
            raise BadBytesError

        desk.writer.put(events("a", 0), fail)
        other = desk.put("b", 0)
        await desk.open()
        assert await other is None
        assert [type(context["exception"]) for context in reported] == [BadBytesError]

    at_desk(ScriptedStore(), story)


def test_an_observer_sees_every_try_and_what_is_durable():
    seen: list[tuple[str, int, int]] = []
    store = ScriptedStore(faults=[None, AWAY])

    class Observer:
        def before_commit(self, n: int) -> None:
            seen.append(("before", n, len(store.streams)))

        def after_commit(self, n: int) -> None:
            seen.append(("after", n, len(store.streams)))

    async def story(desk: Desk) -> None:
        answer = desk.put("a", 0)
        await desk.open()
        await answer

    at_desk(store, story, observer=Observer())
    assert seen == [("before", 1, 0), ("after", 1, 1), ("before", 2, 1), ("before", 3, 1), ("after", 3, 2)]


def test_when_the_thread_dies_those_who_wait_in_the_queue_are_told(monkeypatch: pytest.MonkeyPatch):
    raised: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", raised.append)

    class Observer:
        def before_commit(self, n: int) -> None:
            if n == 2:
                raise SystemError

        def after_commit(self, n: int) -> None:
            pass

    async def main() -> None:
        desk = Desk(ScriptedStore(), observer=Observer(), max_events=1)
        desk.put("lost with the thread", 0)
        queued = desk.put("queued", 0)
        call = desk.writer.call(lambda: threading.Event().wait(0))
        await desk.open()
        assert isinstance(await queued, StoreUnavailable)
        assert await call is False
        await desk.writer.close()
        assert desk.writer.unavailable is not None
        assert isinstance(await desk.put("late", 0), StoreUnavailable)
        end_of_writer()

    asyncio.run(main())
    assert [args.exc_type for args in raised] == [SystemError]


def test_a_loop_that_closed_meanwhile_ends_the_thread_quietly():
    store = ScriptedStore()

    async def main() -> Desk:
        desk = Desk(store)
        desk.put("a", 0)
        return desk

    asyncio.run(main())
    assert store.gate is not None
    store.gate.set()
    end_of_writer()
    assert store.versions() == {"opening": 1}  # what was queued is as after a crash


def end_of_writer() -> None:
    for thread in threading.enumerate():
        if thread.name == "saga_es-writer":
            thread.join(10)
            assert not thread.is_alive()
