"""Sagas of shards that were gained: read, page by page, and gone on with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

from saga_es.runtime.live import Live
from saga_es.runtime.loading import PAGE, Loader
from saga_es.runtime.ownership import Holds
from saga_es.runtime.patience import Patience
from saga_es.runtime.process_manager import ProcessManager
from saga_es.runtime.timers import Timers
from saga_es.store.crew import Crew
from saga_es.store.shards import NO_LANE, Shard

T = TypeVar("T")

AT_ONCE: Final = 64
"""Shards that are asked about in one query."""


class TakingUp:
    """Reads open sagas, and has the process manager adopt them.

    Args:
        chance: in [0, 1): there may not be room for all, and whoever takes over next begins elsewhere.

    Attributes:
        unread: shards that were gained, and whose sagas have not been read since.
        reading: how many reads are under way.
    """

    def __init__(
        self,
        crew: Crew,
        holds: Holds,
        *,
        loader: Loader,
        manager: ProcessManager,
        timers: Timers,
        patience: Patience,
        chance: Callable[[], float],
    ) -> None:
        self._crew, self._holds, self._loader, self._timers = crew, holds, loader, timers
        self._manager, self._patience, self._chance = manager, patience, chance
        self.unread: set[Shard] = set()
        self.reading = 0

    async def all(self) -> None:
        """Fold the open sagas of what was gained, and go on with them."""
        while unread := self.unread & self._holds.shards:
            some = sorted(unread, key=lambda _: self._chance())[:AT_ONCE]  # or the same would always be last
            self.unread.difference_update(some)
            try:
                await self._read_some(some)
            except BaseException:
                self.unread.update(shard for shard in some if self._holds.holds(shard))
                raise

    async def _read_some(self, shards: Sequence[Shard]) -> None:
        after, epochs = "", self._holds.epochs
        while True:
            page = await self._asked(partial(self._crew.open_in, shards, after=after, limit=PAGE))
            lives = await self.adopt([saga_id for saga_id, _ in page], epochs)
            await self._show_as_they_are(lives, dict(page))
            if len(page) < PAGE:
                return
            after = page[-1][0]

    async def adopt(self, saga_ids: Sequence[str], epochs: Mapping[Shard, int]) -> Sequence[Live]:
        """Read sagas and go on with them; of what was lost and gained since these epochs it is old what was read."""
        self.reading += 1
        try:
            lives = await self._patience.ask(partial(self._loader.lives_of, saga_ids), "reading open sagas")
            epoch = self._holds.epoch
            self._manager.adopt(it for it in lives if it.shard and epochs.get(it.shard) == epoch(it.shard))
            return lives
        finally:
            self.reading -= 1

    async def _show_as_they_are(self, lives: Sequence[Live], shown: Mapping[str, str | None]) -> None:
        """The index may show sagas as parked since nobody could run them."""
        reasons: dict[str, str | None] = {}
        for live in lives:
            before, holds = shown[live.saga_id], self._holds.holds(live.shard)
            if holds and live.state is not None and before is not None and before != live.state.parked:
                reasons[live.saga_id] = live.state.parked
        if reasons:
            await self._asked(partial(self._crew.show_parked, reasons, at=self._timers.now()))

    async def place_all(self) -> None:
        """Say in the index where sagas belong of which it does not tell that.

        They are copied, or of older tables, or could not be read when they were looked at before.
        """
        after, is_more = "", True
        while is_more:
            page = await self._asked(partial(self._crew.unplaced, after=after, limit=PAGE))
            if page:
                await self._asked(partial(self._place_some, dict(page)))
                after = page[-1][0]
            is_more = len(page) == PAGE

    async def _asked(self, question: Callable[[], T]) -> T:
        return await self._patience.ask(lambda: self._loader.read(question), "reading the open sagas")

    def _place_some(self, page: Mapping[str, str | None]) -> None:
        """Blocking. What was shown as parked since nobody could read it is shown as it is, where somebody can."""
        places = self._loader.places_of([*page])
        self._crew.place(places)
        shown = [saga_id for saga_id, parked in page.items() if parked and places[saga_id].lane != NO_LANE]
        if shown:
            self._crew.show_parked(self._loader.reasons_of(shown), at=self._timers.now())
