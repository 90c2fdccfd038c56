"""Many due times over one alarm of the clock."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from datetime import datetime
from typing import Final

from saga_es.runtime.clock import Alarm, Clock

SMALL: Final = 64  # a heap this short isn't worth compacting


class Timer:
    """One due time; ``cancel`` costs nothing and may come at any moment, twice too."""

    __slots__ = ("_callback", "_timers")

    def __init__(self, timers: Timers, callback: Callable[[], None]) -> None:
        self._timers: Timers | None = timers  # None once it is out of the heap
        self._callback: Callable[[], None] | None = callback

    @property
    def is_set(self) -> bool:
        return self._callback is not None

    def cancel(self) -> None:
        if self._callback is not None:
            self._callback = None  # frees what it holds now; its place in the heap goes later
            if self._timers is not None:
                self._timers.count_dead()

    def leave(self) -> bool:
        """Take note of being out of the heap; return whether there is something to call."""
        self._timers = None
        return self._callback is not None

    def ring(self) -> None:
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()


class Timers:
    """A heap of due times; most are cancelled, since most attempts answer before their timeout.

    Used on the event loop only. What is due at the same instant rings in the order it was set in.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[datetime, int, Timer]] = []
        self._made = 0
        self._dead = 0
        self._alarm: Alarm | None = None
        self._alarm_due: datetime | None = None
        self._closed = False
        self._gates: set[Callable[[], None]] = set()

    def __len__(self) -> int:
        """Return how many timers are set."""
        return len(self._heap) - self._dead

    def now(self) -> datetime:
        """Return the clock's instant, aware UTC."""
        return self._clock.now()

    def at(self, due: datetime, callback: Callable[[], None]) -> Timer:
        """Call ``callback`` once when ``due`` (aware UTC) has come; in a later turn of the loop if it has.

        An exception of a callback goes to the loop's exception handler and keeps no other from ringing.
        After ``close`` nothing rings.
        """
        timer = Timer(self, callback)
        if self._closed:
            timer.leave()
            timer.cancel()
            return timer
        self._made += 1
        heapq.heappush(self._heap, (due, self._made, timer))
        if self._alarm_due is None or due < self._alarm_due:
            self._arm(due)
        return timer

    @property
    def is_closed(self) -> bool:
        return self._closed

    def when_closed(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` when nothing rings any more, so that nobody waits for it, unless it is forgotten before."""
        self._gates.add(callback)

    def forget(self, callback: Callable[[], None]) -> None:
        """Take ``when_closed`` back."""
        self._gates.discard(callback)

    def close(self) -> None:
        """Forget all timers."""
        self._closed = True
        for gate in tuple(self._gates):
            gate()
        if self._alarm is not None:
            self._alarm.cancel()
        for _, _, timer in self._heap:
            timer.leave()
            timer.cancel()
        self._heap.clear()
        self._dead = 0

    def count_dead(self) -> None:
        """A timer's own call: one more in the heap is cancelled."""
        self._dead += 1
        if self._dead * 2 > len(self._heap) > SMALL:
            self._heap = [entry for entry in self._heap if entry[2].is_set]
            heapq.heapify(self._heap)
            self._dead = 0

    def _arm(self, due: datetime) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm, self._alarm_due = self._clock.call_at(due, self._ring), due

    def _ring(self) -> None:
        self._alarm = self._alarm_due = None
        try:
            for timer in self._take_due():  # taken first: what a callback sets waits for its own turn
                self._call(timer)
        finally:
            self._arm_again()

    def _arm_again(self) -> None:
        if self._heap and not self._closed and self._alarm_due is None:
            self._arm(self._heap[0][0])

    def _take_due(self) -> list[Timer]:
        now = self._clock.now()
        due: list[Timer] = []
        while self._heap and (self._heap[0][0] <= now or not self._heap[0][2].is_set):
            timer = heapq.heappop(self._heap)[2]
            if timer.leave():
                due.append(timer)
            else:
                self._dead -= 1
        return due

    def _call(self, timer: Timer) -> None:
        try:
            timer.ring()
        except Exception as error:  # noqa: BLE001 - whatever it is, the other timers have to ring
            context = {"message": "a timer's callback raised", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
