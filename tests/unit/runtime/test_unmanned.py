"""Which worker says what nobody can run, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest

from saga_es.runtime.timers import Timers
from saga_es.runtime.unmanned import GRACE, Unmanned
from saga_es.store.crew import Member, Process
from saga_es.testing.manual_clock import ManualClock

T = TypeVar("T")
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
LEASE = timedelta(seconds=15)
pytestmark = pytest.mark.promise("owner.deploy")


@dataclass
class Crew:
    """A store with open sagas in one lane."""

    parked: list[str] = field(default_factory=list)
    forgotten: int = 0

    def forget_calls(self) -> None:
        self.forgotten += 1

    def open_lanes(self) -> Sequence[str]:
        return ["trip"]

    def going_on(self, lane: str) -> str | None:
        return None if lane in self.parked else "saga"

    def park(self, lane: str, reason: str, *, at: datetime, limit: int) -> int:
        self.parked.append(lane)
        return 1


class Loader:
    async def read(self, function: Callable[[], T]) -> T:
        return function()

    def why_not(self, saga_id: str) -> str | None:
        return "no code"


def member(worker: str, *lanes: str, minutes: int = 0) -> Member:
    entered = NOON + timedelta(minutes=minutes)
    return Member(worker, Process("far", "", 1, ""), frozenset(lanes), LEASE, entered, NOON, is_expired=False)


def shown(looks: Sequence[tuple[float, Sequence[Member]]], worker: str = "me") -> list[list[str]]:
    """Return what is parked after each look, so many seconds after the one before, at those who live then."""

    async def main() -> list[list[str]]:
        crew, parked = Crew(), []
        unmanned = Unmanned(crew, loader=Loader(), timers=Timers(ManualClock()), lease=LEASE)
        for seconds, living in looks:
            unmanned._manned = {lane: seen - seconds for lane, seen in unmanned._manned.items()}
            unmanned.look(worker, living)
            await unmanned.looked()
            parked.append([*crew.parked])
        return parked

    return asyncio.run(main())


ME, OTHER, TRIPS = (
    member("me", "other"),
    member("elder", "other", minutes=-1),
    member("a trip", "trip", minutes=1),
)


def test_what_never_had_a_worker_is_shown_at_once():
    assert shown([(0, [ME])]) == [["trip"]]


def test_what_had_one_is_given_time_for_a_restart():
    grace = GRACE * LEASE.total_seconds()
    assert shown([(0, [ME, TRIPS]), (1, [ME]), (grace - 2, [ME]), (2, [ME])]) == [[], [], [], ["trip"]]
    assert shown([(0, [ME, TRIPS]), (grace - 1, [ME]), (0, [ME, TRIPS]), (grace - 1, [ME])]) == [
        [],
        [],
        [],
        [],
    ]


def test_the_one_that_has_seen_the_others_for_the_longest_shows_it():
    assert shown([(0, [ME, OTHER])]) == [[]]
    assert shown([(0, [ME, OTHER]), (1, [ME])]) == [[], ["trip"]]
    assert shown([(0, [ME, OTHER])], worker="elder") == [["trip"]]
