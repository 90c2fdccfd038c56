"""What clients write to a store that one engine has alone: looked for in the log, while the engine runs."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from functools import partial

from saga_es.errors import StoreUnavailable
from saga_es.model.times import later
from saga_es.runtime.loading import Loader
from saga_es.runtime.patience import Patience
from saga_es.runtime.process_manager import ProcessManager
from saga_es.runtime.timers import Timer, Timers
from saga_es.runtime.writer import Writer
from saga_es.store.port import Store


class LogFollower:
    """Resumes what is unfinished, then tells the process manager of sagas that clients appended to.

    For an engine that has its store alone.

    Args:
        every: how long between two looks.
    """

    def __init__(
        self,
        *,
        store: Store,
        writer: Writer,
        loader: Loader,
        manager: ProcessManager,
        timers: Timers,
        patience: Patience,
        every: timedelta,
    ) -> None:
        self._store, self._writer, self._loader, self._manager = store, writer, loader, manager
        self._timers, self._patience, self._every = timers, patience, every
        self._position = 0
        self._is_behind = False  # others wrote what has not been taken in
        self._timer: Timer | None = None
        self._looking: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Take up what is unfinished, and look round from here on."""
        # From here on, also before the first look round.
        await self._patience.ask(
            lambda: self._writer.call(self._store.changed_by_others), "a look at the log"
        )
        self._position = await self._patience.ask(
            lambda: self._loader.read(self._store.position), "a look at the log"
        )
        await self._recover()
        self._look_later()

    async def retire(self) -> None:
        """Look no more: the engine is being left."""
        self._stop()

    async def leave(self) -> None:
        """Do nothing: the place is the store's to give back."""

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._looking is not None:
            self._looking.cancel()

    async def _recover(self) -> None:
        """Fold every saga the index shows as open, and go on with it; the rest of the log stays unread."""
        parked = await self._patience.ask(self._loader.parked_in_index, "reading the index")
        after: str | None = None
        while True:
            lives, after = await self._patience.ask(
                partial(self._loader.open_page, after), "reading the open sagas"
            )
            self._manager.adopt(lives)
            for live in lives:
                shown = parked.get(live.saga_id)
                if live.state is not None and shown is not None and shown != live.state.parked:
                    show = partial(self._loader.show_parked, live.saga_id, live.state.parked)
                    await self._patience.ask(show, "writing the index")
            if after is None:
                return

    def _look_later(self) -> None:
        self._timer = self._timers.at(later(self._timers.now(), self._every), self._begin_to_look)

    def _begin_to_look(self) -> None:
        self._looking = asyncio.get_running_loop().create_task(self._look_round())

    async def _look_round(self) -> None:
        try:
            with suppress(StoreUnavailable):  # the writer says so to whoever waits; the next look may succeed
                await self._look()
        finally:
            self._look_later()

    async def _look(self) -> None:
        let_go = tuple(self._manager.let_go)
        position, changed = await self._writer.call(self._end_of_log)
        self._is_behind |= changed
        if self._is_behind:
            await self._take_changes()
            self._is_behind = False
        else:
            self._position = position
        for saga_id in let_go:  # what was appended before is behind us
            self._manager.let_go.pop(saga_id, None)

    def _end_of_log(self) -> tuple[int, bool]:
        """Return where the log ends, and whether any of it may be of others."""
        return self._store.position(), self._store.changed_by_others()

    async def _take_changes(self) -> None:
        while True:
            changes = await self._loader.read(partial(self._store.changes, self._position))
            for saga_id, version in changes.versions.items():
                if version > self._manager.let_go.get(saga_id, 0):  # else it is our own
                    self._manager.changed_elsewhere(saga_id, version)
            at_the_end = not changes.versions or changes.position == self._position
            self._position = changes.position
            if at_the_end:
                return
