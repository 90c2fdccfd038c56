from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import Any

import pytest

from saga_es.errors import StoredEventError, StoreUnavailable, VersionConflict
from saga_es.runtime.writer import LONGEST_DELAY, Writer
from tests.unit.runtime.desk import AWAY, BadBytesError, Desk, ScriptedStore, at_desk, end_of_writer, events


@pytest.mark.promise("case.store-goes-away")
def test_a_commit_whose_answer_was_lost_is_read_back_not_written_twice():
    store = ScriptedStore(lost_answers=1)

    async def story(desk: Desk) -> None:
        await desk.open()
        assert desk.answers[0][2] is None

    desk = at_desk(store, story)
    assert store.batches == [[("opening", 0)]]
    assert store.versions() == {"opening": 1}
    assert desk.pauses == [timedelta(milliseconds=50)]


@pytest.mark.promise("case.store-goes-away")
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


@pytest.mark.promise("error.StoreUnavailable")
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
