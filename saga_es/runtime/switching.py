"""How soon another thread has its turn while the event loop is busy: one interval for the whole process."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Final

HALF: Final = (
    5e-7  # the interpreter cuts off what is less than a microsecond, also of what it has said itself
)


class Switching:
    """Shortens the interpreter's switch interval while anybody asks for that, and puts it back after the last.

    A thread that wants the interpreter waits a whole interval for a busy one, 5 ms by default: a writer has to have
    it three times for each commit, and would keep a loop that is at its limit waiting for as long.

    Args:
        get, set_to: the interval, in seconds.
    """

    def __init__(
        self,
        get: Callable[[], float] = sys.getswitchinterval,
        set_to: Callable[[float], None] = sys.setswitchinterval,
    ) -> None:
        self._get, self._set = get, set_to
        self._lock = threading.Lock()
        self._asked: list[float] = []
        self._before = self._ours = 0.0

    def shorten(self, interval: timedelta) -> Callable[[], None]:
        """Make it at most so long, and return what takes that back, once."""
        asked = interval.total_seconds()
        with self._lock:
            if not self._asked:
                self._before = self._ours = self._get()
            self._asked.append(asked)
            self._apply()

        is_held = True

        def take_back() -> None:
            nonlocal is_held
            with self._lock:
                if is_held:
                    is_held = False
                    self._asked.remove(asked)
                    self._apply()

        return take_back

    def _apply(self) -> None:
        if self._get() != self._ours:
            return  # somebody else has set it since, and knows better
        self._set(min([self._before, *self._asked]) + HALF)
        self._ours = self._get()


SWITCHING = Switching()
