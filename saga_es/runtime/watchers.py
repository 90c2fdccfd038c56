"""Who waits for which saga's end: told when it is recorded here, and looked for where another engine moves it on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from saga_es.runtime.live import Ended, Live
from saga_es.runtime.lives import Lives
from saga_es.runtime.loading import Found


class Watchers:
    """Waits for sagas' ends.

    Args:
        live: returns a saga, loading it unless it is in hand.
        is_ours: whether this engine moves a saga on, as far as anybody can say.

    Attributes:
        on_elsewhere: called when somebody waits for a saga that another engine moves on.
    """

    def __init__(
        self,
        lives: Lives,
        live: Callable[[str], Live],
        is_ours: Callable[[Live], bool],
        touch: Callable[[Live], None],
        reload: Callable[[Live], None],
    ) -> None:
        self._lives, self._live, self._is_ours = lives, live, is_ours
        self._touch, self._reload = touch, reload
        self._watched: set[Live] = set()
        self.on_elsewhere: Callable[[], None] = lambda: None

    def watch(self, saga_id: str, future: asyncio.Future[Ended] | None = None) -> asyncio.Future[Ended]:
        """Return a future of the saga's end, or the one that is given; UnknownSaga if there is no such saga."""
        if future is None:
            future = asyncio.get_running_loop().create_future()
        live = self._live(saga_id)
        self._watched.add(live)
        live.waiters.add(future)

        future.add_done_callback(partial(self._over, live))
        if not live.busy and live.state is not None:
            if live.state.fold.has_ended:
                self._touch(live)  # otherwise its end, or its load, is still to come and tells
            self.read(live)
        return future

    def _over(self, live: Live, future: asyncio.Future[Ended]) -> None:
        """Somebody waits no more."""
        live.waiters.discard(future)
        if not live.waiters:
            self._watched.discard(live)
            self._let_go(live)

    def read(self, live: Live) -> None:
        """It is known how a saga stands, and so whose it is."""
        if live.waiters and not self._is_ours(live):
            self.on_elsewhere()

    def tell(self, live: Live) -> None:
        """Tell whoever waits for a saga, if it has ended."""
        state = live.state
        if live.waiters and state is not None and state.fold.has_ended:
            live.answer_waiters(Ended(state, live.bindings))

    def elsewhere(self) -> list[str]:
        """Return the sagas whose end is waited for here while another engine moves them on."""
        return [live.saga_id for live in self._watched if not self._is_ours(live)]

    def ended_elsewhere(self, saga_id: str, found: Found | None) -> None:
        """A saga that another engine moved on has ended like this, or can't be read."""
        live = self._lives.get(saga_id)
        if live is None or live.busy:  # it is being read anyway
            return
        if found is None:
            self._reload(live)
        elif found.state.version > live.version:
            found.give(live)
            self._touch(live)

    async def stands(self, saga_id: str) -> None:
        """Return when it has been read how a saga stands, where another engine may have moved it on since."""
        live = self._lives.get(saga_id)
        if live is None or (live.state is not None and self._is_ours(live)):
            return
        if not live.busy:
            self._reload(live)
        if live.loading is not None:
            await asyncio.wait([live.loading])

    def _let_go(self, live: Live) -> None:
        if self._lives.get(live.saga_id) is live and not self._is_ours(live):
            self._touch(live)  # and let it go, unless something is asked of it
