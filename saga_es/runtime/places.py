"""How many attempts may begin, and which sagas wait for a place: first come, first served."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from saga_es.model.fold import Fold
from saga_es.model.masks import size
from saga_es.model.state import SagaState
from saga_es.runtime.settings import Settings


class Places:
    """The engine's places for attempts.

    Args:
        in_flight: how many places attempts hold.
        feed: lets a saga (its id) go on that waited for a place; false if it can't now and asks again itself.

    Attributes:
        reserved: places of attempts that are decided and not yet begun, since their dispatch is being recorded.
        is_shut: nothing begins any more, or just now.
    """

    def __init__(self, settings: Settings, in_flight: Callable[[], int], feed: Callable[[str], None]) -> None:
        self._most, self._most_of_one = settings.max_in_flight, settings.max_in_flight_per_saga
        self._in_flight, self._feed = in_flight, feed
        self._hungry: dict[str, None] = {}
        self._is_feeding = False
        self._loop = asyncio.get_running_loop()
        self.reserved = 0
        self.is_shut = False

    @property
    def free(self) -> int:
        """How many places nobody holds, or has reserved."""
        return 0 if self.is_shut else self._most - self._in_flight() - self.reserved

    def room(self, fold: Fold, free: int, *, in_turn: bool, answered: int = 0) -> int:
        """Return how many attempts of a saga may begin now, of so many free places; ``in_turn`` where it has waited."""
        if not in_turn:
            free -= len(self._hungry)  # one each for those who have waited longer
        room = min(self._most_of_one - _in_flight_of(fold) + answered, free)
        return max(0, room)

    def may_resume(self, held: int) -> bool:
        """Whether an attempt that is recorded as in flight may be made again, by a saga with so many in hand."""
        return not self.is_shut and self.free > 0 and held < self._most_of_one

    def wait(self, state: SagaState) -> None:
        """Note that a saga could go on, and has no room: it is fed in its turn."""
        if _in_flight_of(state.fold) < self._most_of_one:
            self._wait(state.saga_id)

    def wait_to_resume(self, saga_id: str, held: int) -> None:
        """Note that a saga has attempts to make again; with all in hand that it may have, it waits for an answer."""
        if held < self._most_of_one:
            self._wait(saga_id)

    def _wait(self, saga_id: str) -> None:
        if not self.is_shut:
            self._hungry[saga_id] = None
            self.feed_soon()

    def feed_soon(self) -> None:
        """A place may be free: let those who wait have it, in a later turn of the loop."""
        if self._hungry and not self._is_feeding and not self.is_shut:
            self._is_feeding = True
            self._loop.call_soon(self._feed_in_turn)

    def _feed_in_turn(self) -> None:
        self._is_feeding = False
        while self._hungry and self.free > 0 and not self.is_shut:
            saga_id = next(iter(self._hungry))
            del self._hungry[saga_id]
            self._feed(saga_id)


def _in_flight_of(fold: Fold) -> int:
    return size(fold.open_actions) + size(fold.open_undos)  # no node has both
