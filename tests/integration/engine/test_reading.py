"""Reading: histories, and the index of sagas."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from saga_es import History, Rejected, Retry, SagaEngine, Settings, define
from saga_es.errors import InvalidInput, UnknownSaga
from saga_es.testing.manual_clock import EPOCH, ManualClock
from tests.integration.engine.world import (
    KEVIN,
    MARIA,
    SOON,
    House,
    Trip,
    drive,
    on_clock,
    seen,
)

HOUR = timedelta(hours=1)


async def one(trip: Trip) -> int:
    return 1


async def undo(trip: Trip, result: int | None) -> None: ...


async def bad(trip: Trip, *_: object) -> int:
    raise Rejected("no")


async def break_down(trip: Trip, result: int | None) -> None:
    raise OSError("the line is dead")


PACKAGE = define("package", Trip).step(one, undo=undo).step(bad, needs=(one,))
TRACE = """❗ begin saga

✔ one
❌ bad (no)

❗ step failed: reverting

✔ undo

❌ end saga (no)"""


@pytest.mark.promise(
    "call.history",
    "field.History.saga_id",
    "field.History.definition",
    "field.History.events",
    "field.History.state",
    "call.History.trace",
    "call.History.timeline",
    "field.Recorded.version",
    "field.Recorded.type",
    "field.Recorded.at",
    "field.Recorded.metadata",
    "field.Recorded.event",
)
def test_a_history_is_read_from_every_store(house: House):
    async def main():
        async with house.engine(PACKAGE) as engine:
            begun = datetime.now(UTC)
            await engine.run(PACKAGE, MARIA, saga_id="p", timeout=SOON)
            return begun, await engine.history("p"), datetime.now(UTC)

    begun, history, ended = drive(main())
    assert history.saga_id == "p"
    assert history.definition == PACKAGE.definition
    assert isinstance(history.events, tuple)
    assert [(it.version, it.type) for it in history.events] == [
        (1, "SagaStarted"),
        (2, "StepDispatched"),
        (3, "StepSucceeded"),
        (4, "StepDispatched"),
        (5, "StepRejected"),
        (6, "SagaCompensating"),
        (7, "CompensationDispatched"),
        (8, "StepCompensated"),
        (9, "SagaFailed"),
    ]
    if house.kind == "postgresql":  # whose it was when it was recorded
        assert {it.metadata["epoch"] for it in history.events} == {1}
        assert len({it.metadata["worker"] for it in history.events}) == 1
    else:
        assert [it.metadata for it in history.events] == [{}] * 9
    times = [it.at for it in history.events]
    assert times == sorted(times)
    assert begun <= times[0] <= times[-1] <= ended
    assert (history.state.version, history.state.status, history.state.ending) == (9, "failed", "compensated")
    assert history.trace() == TRACE
    assert [moment.version for moment in history.timeline()] == [1, 2, 3, 4, 5, 6, 7, 8, 9]


@pytest.mark.promise("call.History.at", "call.History.diff", "invariant.9")
def test_each_moment_can_be_gone_back_to():
    clock = ManualClock()

    async def main():
        saga = define("waiting", Trip).step(one).signal("word", int)
        async with on_clock(saga, clock=clock) as engine:
            await engine.start(saga, MARIA, saga_id="w")
            await seen(engine, "w", "StepSucceeded")
            await clock.advance(HOUR)
            await engine.signal("w", "word", 7)
            await engine.outcome("w")
            return await engine.history("w")

    history = drive(main())
    assert history.at(version=0).version == 0
    assert [history.at(version=n).status for n in range(1, 7)] == ["pending", *["running"] * 4, "succeeded"]
    assert history.at(version=6) == history.state
    just_before = EPOCH + HOUR - timedelta(microseconds=1)
    assert history.at(time=just_before).steps["word"].status == "awaited"
    assert history.at(time=EPOCH + HOUR).steps["word"].result == 7
    assert history.at(time=(EPOCH + HOUR).astimezone(timezone(timedelta(hours=5)))).status == "succeeded"
    assert history.at(time=EPOCH - HOUR).version == 0
    changes = [(it.step, it.field, it.before, it.after) for it in history.diff(4, 6)]
    assert changes == [
        (None, "status", "running", "succeeded"),
        (None, "ending", None, "succeeded"),
        ("word", "status", "awaited", "received"),
        ("word", "result", None, 7),
    ]
    naive = EPOCH.replace(tzinfo=None)
    for wrong in ({}, {"version": 1, "time": EPOCH}, {"version": 7}, {"version": -1}, {"time": naive}):
        with pytest.raises(InvalidInput):
            history.at(**wrong)


@pytest.mark.promise("call.History.to_json", "call.History.from_json")
def test_a_history_is_the_same_bytes_from_every_handle_and_back(lasting: House):
    async def main():
        saga = define("worded", Trip).step(one, undo=undo, title="one “é” 🚂").step(bad, needs=(one,))
        async with lasting.engine(saga) as engine:
            await engine.run(saga, Trip(customer="João 🚂\u2028"), saga_id="w/ü", timeout=SOON)
            written = (await engine.history("w/ü")).to_json()
        async with lasting.client() as client:  # without the code
            return written, (await client.history("w/ü")).to_json()

    written, by_client = drive(main())
    assert written == by_client
    assert History.from_json(written).to_json() == written
    assert written.encode().decode() == written
    assert '"format": "saga_es.history/1", "saga_id": "w/ü"' in written.replace("\n", " ").replace("  ", "")


@pytest.mark.promise("error.UnknownSaga", "call.history")
def test_what_never_was_has_no_history(house: House):
    async def main():
        async with house.engine(PACKAGE) as engine:
            unknown = []
            for saga_id in ("nobody", "x" * 200):
                with pytest.raises(UnknownSaga) as error:
                    await engine.history(saga_id)
                unknown.append(error.value.saga_id)
            for saga_id in ("", "two\nlines", "x" * 201):
                with pytest.raises(InvalidInput):
                    await engine.history(saga_id)
            return unknown

    assert drive(main()) == ["nobody", "x" * 200]


async def populate(engine: SagaEngine, clock: ManualClock) -> None:
    """Make five sagas, an hour apart: succeeded, failed, parked, waiting, waiting; the last of another kind."""
    await engine.run("fine", MARIA, saga_id="fine")
    await clock.advance(HOUR)
    await engine.run("package", MARIA, saga_id="failed")
    await clock.advance(HOUR)
    await engine.start("stuck", MARIA, saga_id="stuck")
    await seen(engine, "stuck", "SagaParked")
    await clock.advance(HOUR)
    await engine.start("waiting", MARIA, saga_id="waits")
    await seen(engine, "waits", "SignalAwaited")
    await clock.advance(HOUR)
    await engine.start("waiting", KEVIN, saga_id="waits too")
    await seen(engine, "waits too", "SignalAwaited")
    await clock.advance(HOUR)


KINDS = (
    define("fine", Trip).step(one),
    PACKAGE,
    define("stuck", Trip).step(one, undo=break_down).step(bad, needs=(one,)),
    define("waiting", Trip, version=2).signal("word", int),
)
BRIEF = Settings(compensation_retry=Retry(attempts=1), poll=timedelta(days=100))


@pytest.mark.promise(
    "call.find",
    "field.Page.items",
    "field.Page.next",
    "field.SagaSummary.saga_id",
    "field.SagaSummary.definition",
    "field.SagaSummary.definition_version",
    "field.SagaSummary.status",
    "field.SagaSummary.ending",
    "field.SagaSummary.parked",
    "field.SagaSummary.started_at",
    "field.SagaSummary.changed_at",
)
def test_every_saga_is_shown_with_how_it_stands(house: House):
    clock = ManualClock()

    async def main():
        async with house.engine(*KINDS, clock=clock, settings=BRIEF) as engine:
            await populate(engine, clock)
            await engine.signal("waits", "word", 1)
            await engine.outcome("waits")
            page = await engine.find()
            return page.items, page.next

    items, after = drive(main())
    assert after is None
    shown = [
        (it.saga_id, it.definition, it.definition_version, it.status, it.ending, it.parked) for it in items
    ]
    assert shown == [
        ("waits too", "waiting", 2, "running", None, None),
        ("waits", "waiting", 2, "succeeded", "succeeded", None),
        ("stuck", "stuck", 1, "compensating", None, "one: the line is dead"),
        ("failed", "package", 1, "failed", "compensated", None),
        ("fine", "fine", 1, "succeeded", "succeeded", None),
    ]
    hours = [((it.started_at - EPOCH) / HOUR, (it.changed_at - EPOCH) / HOUR) for it in items]
    assert hours == [(4, 4), (3, 5), (2, 2), (1, 1), (0, 0)]


@pytest.mark.promise("call.find")
def test_each_filter_narrows_and_they_narrow_together(house: House):
    clock = ManualClock()

    async def main():
        async with house.engine(*KINDS, clock=clock, settings=BRIEF) as engine:
            await populate(engine, clock)

            async def ids(**wanted: object) -> list[str]:
                return [it.saga_id for it in (await engine.find(**wanted)).items]

            return {
                "running": await ids(status="running"),
                "failed": await ids(status="failed"),
                "pending": await ids(status="pending"),
                "waiting": await ids(definition="waiting"),
                "nothing": await ids(definition="wait"),
                "parked": await ids(parked=True),
                "free": await ids(parked=False),
                "before": await ids(started_before=EPOCH + 2 * HOUR),
                "both": await ids(definition="waiting", started_before=EPOCH + 4 * HOUR),
                "all": await ids(
                    status="compensating", definition="stuck", parked=True, started_before=clock.now()
                ),
                "none": await ids(status="succeeded", parked=True),
            }

    assert drive(main()) == {
        "running": ["waits too", "waits"],
        "failed": ["failed"],
        "pending": [],
        "waiting": ["waits too", "waits"],
        "nothing": [],
        "parked": ["stuck"],
        "free": ["waits too", "waits", "failed", "fine"],
        "before": ["failed", "fine"],
        "both": ["waits"],
        "all": ["stuck"],
        "none": [],
    }


@pytest.mark.promise("call.find", "field.Page.next")
def test_pages_follow_each_other_without_gap_or_repetition(house: House):
    async def main():
        saga = define("fine", Trip).step(one)
        async with house.engine(saga) as engine:
            for n in range(7):
                await engine.run(saga, MARIA, saga_id=f"{n}", timeout=SOON)
            pages, after = [], None
            while True:
                page = await engine.find(limit=3, after=after)
                pages.append([it.saga_id for it in page.items])
                after = page.next
                if after is None:
                    break
                # What is newer than the first page does not come into the later ones.
                await engine.run(saga, MARIA, saga_id=f"new {len(pages)}", timeout=SOON)
            exact = await engine.find(limit=9)
            return pages, len(exact.items), exact.next, len((await engine.find()).items)

    assert drive(main()) == ([["6", "5", "4"], ["3", "2", "1"], ["0"]], 9, None, 9)


@pytest.mark.promise("call.find", "error.InvalidInput")
@pytest.mark.parametrize(
    "wrong",
    [
        {"limit": 0},
        {"limit": -1},
        {"after": "nowhere"},
        {"started_before": EPOCH.replace(tzinfo=None)},
        {"status": "runing"},
    ],
)
def test_what_can_not_be_looked_for_is_said(house: House, wrong):
    async def main():
        async with house.engine(PACKAGE) as engine:
            with pytest.raises(InvalidInput):
                await engine.find(**wrong)
            return (await engine.find()).items

    assert len(drive(main())) == 0
