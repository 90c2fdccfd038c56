"""Opening a store on a thread, which goes on although whoever entered has given up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress

from saga_es.errors import EngineClosed, SagaError
from saga_es.model.times import later
from saga_es.runtime.loading import LEAVING
from saga_es.runtime.patience import within
from saga_es.runtime.timers import Timers
from saga_es.store.port import Store


class Opening:
    """Opens a store when it is called, on a thread; may be called again when it failed.

    Args:
        make: opens the store.
    """

    def __init__(self, make: Callable[[], Store]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._is_given_up = False
        self._store: Store | None = None
        self._under_way = 0
        self._over: Callable[[], object] | None = None

    def __call__(self) -> Store:
        with self._lock:
            if self._is_given_up:
                raise EngineClosed("entering")
            self._under_way += 1
        store: Store | None = None
        try:
            store = self._make()
        finally:
            too_late = self._end(store)
            if too_late:
                if store is not None:
                    store.close()
                self._tell()
        if store is None or too_late:
            raise EngineClosed("entering")
        return store

    def _end(self, store: Store | None) -> bool:
        """Note what was opened; return whether nobody wants it any more."""
        with self._lock:
            self._under_way -= 1
            self._store = store
            return self._is_given_up

    async def give_up(self, timers: Timers) -> None:
        """Close what was opened; what is still being opened is closed by its thread, and waited for a while."""
        loop = asyncio.get_running_loop()
        over: asyncio.Future[None] = loop.create_future()

        def settle() -> None:
            if not over.done():
                over.set_result(None)

        with self._lock:
            self._is_given_up, self._over = True, lambda: loop.call_soon_threadsafe(settle)
            store, is_under_way = self._store, self._under_way > 0
        if store is not None:
            with suppress(SagaError):
                store.close()
        if is_under_way:
            await within(timers, over, later(timers.now(), LEAVING))

    def _tell(self) -> None:
        if self._over is not None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._over()
