from __future__ import annotations

import asyncio
import threading
from functools import partial

import pytest

from saga_es.errors import VersionConflict
from tests.unit.runtime.desk import BadBytesError, Desk, ScriptedStore, at_desk, events


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


@pytest.mark.parametrize(
    ("bound", "appends", "batches"),
    [
        (
            {"max_events": 10},
            {"a": (4, 2), "b": (4, 2), "c": (25, 2), "d": (1, 2)},
            [["a", "b"], ["c"], ["d"]],
        ),
        (
            {"max_bytes": 100},
            {"a": (2, 40), "b": (1, 20), "c": (1, 1), "d": (3, 70), "e": (1, 100)},
            [["a", "b"], ["c"], ["d"], ["e"]],
        ),
    ],
    ids=["events", "bytes"],
)
def test_a_batch_is_bounded_but_never_empty(
    bound: dict[str, int], appends: dict[str, tuple[int, int]], batches: list[list[str]]
):
    async def story(desk: Desk) -> None:
        waiting = [desk.put(saga, 0, count, size=size) for saga, (count, size) in appends.items()]
        await desk.open()
        await asyncio.gather(*waiting)

    desk = at_desk(ScriptedStore(), story, **bound)
    assert [[saga for saga, _ in batch] for batch in desk.store.batches] == [["opening"], *batches]


def test_appends_of_one_saga_keep_their_order_within_a_batch_too():
    async def story(desk: Desk) -> None:
        waiting = [desk.put("a", n) for n in range(7)]
        await desk.open()
        await asyncio.gather(*waiting)

    desk = at_desk(ScriptedStore(), story, max_events=3)
    assert [expected for _, expected, _ in desk.answers[1:]] == list(range(7))
    assert desk.store.versions()["a"] == 7


@pytest.mark.promise("invariant.14", "error.VersionConflict")
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


@pytest.mark.parametrize("recorded", [False, True])
def test_however_many_are_guilty_none_is_written_again_with_each_of_them(recorded: bool):
    """The more a batch may hold, the more would be."""
    mine = {f"s{n}": events(f"s{n}", 0) for n in range(1024)}
    guilty = {f"s{n}": mine[f"s{n}"] if recorded else events(f"s{n}", 0) for n in range(0, 1024, 8)}
    store = ScriptedStore(streams={saga: list(append.events) for saga, append in guilty.items()})
    answers: dict[str, Exception | None] = {}

    async def story(desk: Desk) -> None:
        for saga, append in mine.items():
            desk.writer.put(append, partial(answers.__setitem__, saga))
        await desk.open()
        await desk.put("last", 0)

    at_desk(store, story)
    assert {saga for saga, error in answers.items() if error} == (set() if recorded else set(guilty))
    assert len(answers) == len(mine)
    assert sum(map(len, store.batches)) < 20 * len(mine)


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
