"""Asking a store that may be away, on a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from saga_es.errors import EngineClosed, StoreUnavailable, UnknownSaga
from saga_es.model.times import LATEST
from saga_es.runtime.patience import Patience, within
from saga_es.runtime.timers import Timers
from saga_es.testing.manual_clock import EPOCH, ManualClock
from tests.integration.engine.world import drive

SECOND = timedelta(seconds=1)
NEARLY_ONE = 1 - 2**-53


class Desk:
    """A store that refuses whatever it is asked, or says nothing at all, until told otherwise.

    Attributes:
        asked: seconds after EPOCH at which it was asked.
        dropped: how many of those who asked did not wait for the answer.
    """

    def __init__(self, *, chance: float = 0.0, limit: timedelta = 60 * SECOND) -> None:
        self.clock = ManualClock()
        self.timers = Timers(self.clock)
        self.patience = Patience(self.timers, url="sqlite:///sagas.db", limit=limit, chance=lambda: chance)
        self.asked: list[float] = []
        self.dropped = 0
        self.says_nothing = False
        self.answer: Callable[[], str] = self.refuse

    def refuse(self) -> str:
        raise StoreUnavailable("elsewhere", problem=f"refusal {len(self.asked)}")

    async def make(self) -> str:
        self.asked.append((self.clock.now() - EPOCH).total_seconds())
        if self.says_nothing:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                self.dropped += 1
                raise
        return self.answer()

    def ask(self, *, saga_id: str | None = "trip-42", until: datetime | None = None) -> asyncio.Task[str]:
        asking = self.patience.ask(self.make, "reading saga 'trip-42'", saga_id=saga_id, until=until)
        return asyncio.ensure_future(asking)


async def ended_at(desk: Desk, asking: asyncio.Task[str], longest: timedelta) -> float:
    """Move the clock until the asking has ended; return the seconds that it took."""
    end: list[float] = []
    asking.add_done_callback(lambda _: end.append((desk.clock.now() - EPOCH).total_seconds()))
    await desk.clock.advance(longest)
    (took,) = end
    return took


def test_an_answer_is_returned_and_asked_for_once():
    async def main() -> None:
        desk = Desk()
        desk.answer = lambda: "there"
        assert await desk.ask() == "there"
        assert desk.asked == [0]
        assert len(desk.timers) == 0  # nothing is left to ring

    drive(main())


@pytest.mark.promise("case.store-goes-away")
def test_one_refusal_is_asked_again_at_once():
    async def main() -> None:
        desk = Desk()
        desk.answer = lambda: "there" if len(desk.asked) == 2 else desk.refuse()
        assert await desk.ask() == "there"  # no time passes on a clock that stands still
        assert desk.asked == [0, 0]

    drive(main())


@pytest.mark.promise("case.store-goes-away")
@pytest.mark.parametrize(
    ("chance", "asked"),
    [
        (0.0, [0, 0, 0.025, 0.075, 0.175, 0.375, 0.775, 1.575, 2.575, 3.575, 4.575]),
        (0.5, [0, 0, 0.0375, 0.1125, 0.2625, 0.5625, 1.1625, 2.3625, 3.8625]),
        (NEARLY_ONE, [0, 0, 0.05, 0.15, 0.35, 0.75, 1.55, 3.15]),
    ],
)
def test_then_with_growing_pauses_of_which_chance_takes_up_to_a_half(chance, asked):
    async def main() -> None:
        desk = Desk(chance=chance)
        asking = desk.ask()
        await desk.clock.advance(5 * SECOND)
        assert desk.asked == pytest.approx(asked, abs=1e-5)
        desk.answer = lambda: "there"
        await desk.clock.advance(2 * SECOND)  # the longest pause there is
        assert await asking == "there"

    drive(main())


@pytest.mark.promise("case.store-goes-away", "error.StoreUnavailable")
@pytest.mark.parametrize("chance", [0.0, NEARLY_ONE])
def test_it_ends_when_the_time_is_up_and_says_of_whom_it_was_and_why(chance):
    async def main() -> None:
        desk = Desk(chance=chance, limit=10 * SECOND)
        asking = desk.ask()
        took = await ended_at(desk, asking, 60 * SECOND)
        assert 9.9 < took <= 10
        assert 9.9 < desk.asked[-1] <= 10  # it used the time it had
        with pytest.raises(StoreUnavailable) as error:
            await asking
        assert error.value.store == "sqlite:///sagas.db"
        assert error.value.problem == f"refusal {len(desk.asked)}"
        assert error.value.saga_id == "trip-42"
        assert len(desk.timers) == 0

    drive(main())


def test_the_caller_may_have_less_time_or_more():
    async def main() -> None:
        for span in (timedelta(0), 2 * SECOND, 300 * SECOND):
            desk = Desk()
            asking = desk.ask(until=EPOCH + span)
            took = await ended_at(desk, asking, 600 * SECOND)
            assert span.total_seconds() - 0.05 < took <= span.total_seconds()
            assert isinstance(asking.exception(), StoreUnavailable)

    drive(main())


@pytest.mark.promise("case.store-goes-away", "error.StoreUnavailable")
@pytest.mark.parametrize("saga_id", ["trip-42", None])
def test_a_store_that_says_nothing_is_left_when_the_time_is_up(saga_id):
    async def main() -> None:
        desk = Desk(limit=3 * SECOND)
        desk.says_nothing = True
        asking = desk.ask(saga_id=saga_id)
        assert await ended_at(desk, asking, 60 * SECOND) == 3
        with pytest.raises(StoreUnavailable) as error:
            await asking
        assert error.value.problem == "reading saga 'trip-42' got no answer in time"
        assert (error.value.store, error.value.saga_id) == ("sqlite:///sagas.db", saga_id)
        assert (desk.asked, desk.dropped) == ([0], 1)

    drive(main())


def test_a_store_that_first_refuses_and_then_says_nothing_has_no_more_time_for_it():
    async def main() -> None:
        desk = Desk(limit=3 * SECOND)
        asking = desk.ask()
        await desk.clock.advance(SECOND)
        desk.says_nothing = True
        assert await ended_at(desk, asking, 60 * SECOND) == 3
        assert isinstance(asking.exception(), StoreUnavailable)

    drive(main())


@pytest.mark.promise("case.store-goes-away")
def test_whoever_has_all_the_time_there_is_waits_for_ever():
    async def main() -> None:
        silent, away = Desk(), Desk()
        silent.says_nothing = True
        waiting, asking = silent.ask(until=LATEST), away.ask(until=LATEST)
        await silent.clock.advance(timedelta(days=4000))
        await away.clock.advance(timedelta(hours=1))
        assert not waiting.done()
        assert not asking.done()
        assert silent.clock.waiting == 0  # no alarm for what never comes
        away.answer = lambda: "there"
        await away.clock.advance(2 * SECOND)
        assert await asking == "there"
        waiting.cancel()
        await asyncio.wait([waiting])
        assert silent.dropped == 1

    drive(main())


def test_any_other_error_is_raised_at_once():
    async def main() -> None:
        desk = Desk()

        def unknown() -> str:
            raise UnknownSaga("trip-42")

        desk.answer = unknown
        with pytest.raises(UnknownSaga) as error:
            await desk.ask()
        assert error.value.saga_id == "trip-42"
        assert desk.asked == [0]

    drive(main())


def test_cancelled_while_the_store_says_nothing_it_drops_what_it_asked():
    async def main() -> None:
        desk = Desk()
        desk.says_nothing = True
        asking = desk.ask()
        await desk.clock.settle()
        asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled()
        await desk.clock.settle()
        assert desk.dropped == 1
        assert len(desk.timers) == 0

    drive(main())


def test_cancelled_between_two_askings_it_asks_no_more():
    async def main() -> None:
        desk = Desk()
        asking = desk.ask()
        await desk.clock.advance(SECOND)
        before = len(desk.asked)
        asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled()
        await desk.clock.advance(60 * SECOND)
        assert len(desk.asked) == before
        assert len(desk.timers) == 0

    drive(main())


# -- within ------------------------------------------------------------------------------------------


def test_within_its_time_a_task_is_done_and_no_timer_is_left():
    async def main() -> None:
        clock = ManualClock()
        timers = Timers(clock)
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        timers.at(EPOCH + 2 * SECOND, lambda: future.set_result(7))
        waiting = asyncio.ensure_future(within(timers, future, EPOCH + 3 * SECOND))
        await clock.advance(2 * SECOND)
        assert waiting.done()
        assert waiting.result() is True
        assert future.result() == 7
        assert len(timers) == 0
        assert await within(timers, future, EPOCH) is True  # done before, however late it is now

    drive(main())


def test_beyond_its_time_a_task_goes_on():
    async def main() -> None:
        clock = ManualClock()
        timers = Timers(clock)
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        waiting = asyncio.ensure_future(within(timers, future, EPOCH + 3 * SECOND))
        await clock.advance(3 * SECOND - timedelta(microseconds=1))
        assert not waiting.done()
        await clock.advance(timedelta(microseconds=1))
        assert waiting.done()
        assert waiting.result() is False
        assert not future.done()
        future.set_result(1)  # nobody listens to it any more
        await clock.settle()
        assert len(timers) == 0

    drive(main())


def test_a_task_that_fails_is_done_and_keeps_its_error():
    async def main() -> None:
        timers = Timers(ManualClock())
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        future.set_exception(ZeroDivisionError())
        assert await within(timers, future, EPOCH + SECOND) is True
        assert isinstance(future.exception(), ZeroDivisionError)

    drive(main())


def test_whoever_is_cancelled_while_it_waits_cancels_the_task():
    async def main() -> None:
        clock = ManualClock()
        timers = Timers(clock)
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        waiting = asyncio.ensure_future(within(timers, future, EPOCH + SECOND))
        await clock.settle()
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        assert future.cancelled()
        assert len(timers) == 0

    drive(main())


# -- whoever asks is left meanwhile ------------------------------------------------------------------


@pytest.mark.promise("case.shutting-down", "error.EngineClosed")
@pytest.mark.parametrize("says_nothing", [False, True], ids=["between two tries", "while nothing is said"])
def test_nobody_waits_for_timers_that_ring_no_more(says_nothing: bool):
    async def main() -> int:
        desk = Desk()
        desk.says_nothing = says_nothing
        asking = desk.ask()
        await desk.clock.settle()
        desk.timers.close()
        with pytest.raises(EngineClosed):
            await asking
        with pytest.raises(EngineClosed):
            await desk.ask()
        return len(desk.asked)

    assert drive(main()) == (1 if says_nothing else 2)


def test_waiting_for_a_while_ends_with_the_timers():
    async def main() -> list[bool]:
        clock = ManualClock()
        timers = Timers(clock)
        task = asyncio.ensure_future(asyncio.sleep(3600))
        waiting = asyncio.ensure_future(within(timers, task, EPOCH + 60 * SECOND))
        await clock.settle()
        timers.close()
        found = [await waiting, await within(timers, task, EPOCH + 60 * SECOND), task.done()]
        task.cancel()
        return found

    assert drive(main()) == [False, False, False]
