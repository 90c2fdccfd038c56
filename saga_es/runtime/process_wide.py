"""What is one for the whole interpreter, and an engine asks to be otherwise while it is entered."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import timedelta
from typing import Final, Generic, TypeVar

N = TypeVar("N", bound=float)

HALF: Final = (
    5e-7  # the interpreter cuts off what is less than a microsecond, also of what it has said itself
)


class ProcessWide(Generic[N]):
    """A number of the interpreter's, moved while anybody asks for that and put back after the last.

    Args:
        get, set_to: the number.
        best: of what it was and what is asked for, the one to have.
    """

    def __init__(
        self, get: Callable[[], N], set_to: Callable[[N], None], best: Callable[[Iterable[N]], N]
    ) -> None:
        self._get, self._set, self._best = get, set_to, best
        self._lock = threading.Lock()
        self._asked: list[N] = []
        self._before = self._ours = get()

    def ask(self, number: N) -> Callable[[], None]:
        """Have it at least as good as ``number``, and return what takes that back, once."""
        with self._lock:
            if not self._asked:
                self._before = self._ours = self._get()
            self._asked.append(number)
            self._apply()

        is_held = True

        def take_back() -> None:
            nonlocal is_held
            with self._lock:
                if is_held:
                    is_held = False
                    self._asked.remove(number)
                    self._apply()

        return take_back

    def _apply(self) -> None:
        if self._get() != self._ours:
            return  # somebody else has set it since, and knows better
        self._set(self._best([self._before, *self._asked]))
        self._ours = self._get()


def switching(
    get: Callable[[], float] = sys.getswitchinterval, set_to: Callable[[float], None] = sys.setswitchinterval
) -> ProcessWide[float]:
    """Return the switch interval, in seconds: how long a thread waits for the interpreter while another is busy.

    5 ms by default: a writer has to have the interpreter three times for each commit, and would keep a loop that is at
    its limit waiting for as long.
    """
    return ProcessWide(get, lambda interval: set_to(interval + HALF), min)


def collecting(
    get: Callable[[], tuple[int, int, int]] = gc.get_threshold,
    set_to: Callable[[int, int, int], None] = gc.set_threshold,
) -> ProcessWide[int]:
    """Return how many containers are made, less those given up, before the garbage collector looks at the young.

    700 or 2,000 by default: what sagas in the air hold is not garbage, and would be walked again and again. Where it is
    0 nothing is ever collected, and that stays.
    """
    return ProcessWide(
        lambda: get()[0],
        lambda number: set_to(number, *get()[1:]),
        lambda numbers: 0 if 0 in numbers else max(numbers),
    )


SWITCHING: Final = switching()
COLLECTING: Final = collecting()


def ask_for(thread_switch: timedelta | None, gc_threshold: int | None) -> Callable[[], None]:
    """Ask for what settings name, and return what takes all of that back."""
    asked = ExitStack()
    if thread_switch is not None:
        asked.callback(SWITCHING.ask(thread_switch.total_seconds()))
    if gc_threshold is not None:
        asked.callback(COLLECTING.ask(gc_threshold))
    return asked.close
