"""Calls that run in parallel finish in a scripted order, so that a run is the same each time."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future

from saga_es.testing.crash import Crash


class Turnstile:
    """Lets calls through one at a time, each after a commit has followed the one before it.

    A participant asks for its turn before it does anything, so that of two calls in parallel the second has its
    effect when the first one's outcome is recorded.

    Args:
        script: the calls' names in the order to let them through; one that is made twice stands there twice. Who
            is not named, or no longer, passes at once.
        crash: tells of commits.
    """

    def __init__(self, script: Sequence[str], crash: Crash) -> None:
        self._script = deque(script)
        self._waiting: dict[str, deque[Future[None]]] = {}
        self._inside = False
        self._lock = threading.Lock()
        crash.on_commit(self._committed)

    async def turn(self, name: str) -> None:
        """Wait for the turn of the call ``name``, on the event loop."""
        await asyncio.wrap_future(self._arrive(name))

    def turn_in_thread(self, name: str) -> None:
        """The same for a plain function, which blocks its thread."""
        self._arrive(name).result()

    def _arrive(self, name: str) -> Future[None]:
        turn: Future[None] = Future()
        with self._lock:
            if name not in self._script:
                turn.set_result(None)
            else:
                self._waiting.setdefault(name, deque()).append(turn)
                self._let_in()
        return turn

    def _committed(self) -> None:
        with self._lock:
            if self._inside:
                self._inside = False
                self._script.popleft()
                self._let_in()

    def _let_in(self) -> None:
        if self._script and not self._inside:
            queue = self._waiting.get(self._script[0])
            if queue:
                self._inside = True
                queue.popleft().set_result(None)
