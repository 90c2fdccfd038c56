"""The process manager: outcome → decide → append → react → dispatch, one saga at a time, many at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable
from datetime import timedelta
from functools import partial

from saga_es.errors import StoreUnavailable, UnknownSaga, VersionConflict
from saga_es.model.commands import Wake
from saga_es.runtime.clock import Clock
from saga_es.runtime.dispatcher import Dispatcher, Report
from saga_es.runtime.effects import Effects
from saga_es.runtime.live import Ask, Asked, Live
from saga_es.runtime.lives import Lives
from saga_es.runtime.loading import Loader, reason_of
from saga_es.runtime.ownership import Ownership
from saga_es.runtime.places import Places
from saga_es.runtime.settings import Settings
from saga_es.runtime.timers import Timers
from saga_es.runtime.turns import Turn, Turns
from saga_es.runtime.watchers import Watchers
from saga_es.runtime.writer import Writer
from saga_es.store.inbox import ClaimLost
from saga_es.store.port import Store
from saga_es.store.shards import Fenced, Shard

RELOAD_DELAY = timedelta(milliseconds=100)


class ProcessManager:
    """Holds the open sagas' states and moves them on. Lives on the event loop; all of it is callbacks.

    What is asked of a saga while its append is under way gathers and is decided together afterwards, on what
    was recorded, so that no decision ever rests on something that is not.
    """

    def __init__(
        self,
        *,
        store: Store,
        writer: Writer,
        loader: Loader,
        timers: Timers,
        clock: Clock,
        settings: Settings,
        ownership: Ownership,
        chance: Callable[[], float],
        make_dispatcher: Callable[[Callable[[Report], None], Callable[[], None]], Dispatcher],
    ) -> None:
        self._writer, self._loader, self._ownership = writer, loader, ownership
        self._lives = Lives()
        self.watchers = Watchers(self._lives, self.live, self._is_ours, self._touch, self._reload)
        self._dirty: dict[str, Live] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self.let_go: dict[str, int] = {}  # with their versions, until what was read before is behind us
        self._closing, self._unsure, self._when_written = False, list[tuple[str, Ask]](), self._written
        self.on_fenced: Callable[[Fenced], None] = lambda _: None
        self.on_unsure: Callable[[], None] = lambda: None
        self.busy_shards = self._lives.busy_shards
        self._places = Places(settings, lambda: self.dispatcher.in_flight, self._feed)
        self.dispatcher = make_dispatcher(self._report, self._places.feed_soon)
        defaults, places = settings.defaults(), self._places
        self._turns = Turns(
            store=store, clock=clock, places=places, ownership=ownership, defaults=defaults, chance=chance
        )
        self._effects = Effects(
            dispatcher=self.dispatcher,
            timers=timers,
            clock=clock,
            defaults=defaults,
            ownership=ownership,
            places=places,
            wake=self._wake,
            hunger=self._hunger,
        )

    # -- asked from outside --------------------------------------------------------------------------

    def submit(self, saga_id: str, ask: Ask) -> None:
        """Ask something of a saga; it is decided in a later turn of the loop, on what is recorded by now.

        Where it is not sure any more what this engine holds, the store is asked first.
        """
        if not self._ownership.is_sure:
            self._unsure.append((saga_id, ask))
            self.on_unsure()
            return
        known = self._lives.get(saga_id)
        live = self.live(saga_id, fresh=ask.definition is not None)
        if known is None or not self._may_be_elsewhere(live):
            self._ask(live, ask)
            return
        live.put_off(ask)  # to be decided on what is read from here on
        if not live.busy:
            self._reload(live)

    def sure(self) -> None:
        """It is known what this engine holds: go on with what was asked meanwhile."""
        unsure, self._unsure = self._unsure, []
        for saga_id, ask in unsure:
            self.submit(saga_id, ask)

    def _may_be_elsewhere(self, live: Live) -> bool:
        """Whether another engine may have moved it on since it was read, or since that began."""
        is_being_read = live.state is None and live.busy and self._ownership.is_shared
        return is_being_read or not self._is_ours(live)

    def live(self, saga_id: str, *, fresh: bool = False) -> Live:
        """Return the saga, loading it unless it is in hand; ``fresh`` takes it for new until a conflict says no."""
        if (found := self._lives.get(saga_id)) is None:
            found = self._lives[saga_id] = Live(saga_id, is_shared=self._ownership.is_shared)
            if not fresh:
                self._reload(found)
        return found

    def in_hand(self, saga_id: str) -> Live | None:
        return self._lives.get(saga_id)

    def adopt(self, lives: Iterable[Live]) -> None:
        """Take over loaded sagas that have not gone on here since: issue again what is in flight, and what is owed."""
        for live in lives:
            is_old = live.saga_id in self._lives or live.version <= self.let_go.get(live.saga_id, 0)
            if not is_old and self._ownership.holds(live.shard):
                self._lives[live.saga_id] = live
                self._effects.carry_out(live, reissue=True)
                self._touch(live)

    def changed_elsewhere(self, saga_id: str, version: int) -> None:
        """The log was seen to have this version of a saga: read it again unless that is known here."""
        live = self.live(saga_id)
        live.newest = max(live.newest, version)
        if not live.busy and live.version < version:
            self._reload(live)

    def begin_nothing(self) -> None:
        """The engine is being left: what is in flight may finish, and nothing more begins."""
        self._closing = self._places.is_shut = True
        self._effects.stop()

    async def drain(self, drain: timedelta) -> None:
        """Let what is in flight finish for ``drain``."""
        await self.dispatcher.drain(drain)

    async def settle(self) -> None:
        """Record the answers that came."""
        while self._writer.unavailable is None and (self._dirty or self._is_writing()):
            await self._writer.call(lambda: None)  # what was put before it is written when it returns
            await asyncio.sleep(0)
        for task in self._tasks:
            task.cancel()
        for live in self._lives.values():
            live.set_timer(None, None)

    def _is_writing(self) -> bool:
        return any(live.busy and live.state is not None for live in self._lives.values())

    def abandon(self, error: Exception) -> None:
        """Answer everybody who still waits."""
        for live in self._lives.values():
            live.refuse(error)
        for _, ask in self._unsure:
            if ask.done is not None:
                ask.done(error)

    # -- where the store is shared -------------------------------------------------------------------

    def take_over(self, shards: Collection[Shard]) -> None:
        """These are ours from here on: what is in hand of them may be in flight elsewhere, and is read again."""
        for live in (*self._lives.of(shards), *self._lives.unread_of(shards)):
            live.is_stale = True
            if not live.busy:
                self._reload(live)

    def lose(self, shards: Collection[Shard]) -> None:
        """These are ours no more: nothing of them is begun, and what their attempts answer is not recorded."""
        for live in self._lives.of(shards):
            live.lose()
            self._touch(live)

    def resume(self, shards: Collection[Shard]) -> None:
        """Attempts may begin again in these."""
        for live in self._lives.of(shards):
            self._wake(live)

    # -- a turn: decide and append -------------------------------------------------------------------

    def _ask(self, live: Live, ask: Asked) -> None:
        live.asks.append(ask)
        self._touch(live)

    def _touch(self, live: Live) -> None:
        if not self._dirty:
            self._loop.call_soon(self._take_turns)
        self._dirty[live.saga_id] = live

    def _take_turns(self) -> None:
        dirty, self._dirty = self._dirty, {}
        for live in dirty.values():
            self._take_turn_alone(live)

    def _take_turn_alone(self, live: Live) -> None:
        """Whatever goes wrong in one saga's turn stays its own matter."""
        try:
            self._take_turn(live)
        except Exception as error:  # noqa: BLE001 - see above
            self._set_aside(live, error)

    def _take_turn(self, live: Live) -> None:
        if live.busy:
            return
        if not self._is_ours(live):
            live.forget_answers()
        if live.asks:
            turn = self._turns.take(live)
            if turn is None:
                return
            if turn.events:
                self._append(live, turn)
                return
            self._answer(live, turn)
        self._finish(live)

    def _append(self, live: Live, turn: Turn) -> None:
        try:
            append = self._turns.append_of(live, turn)
        except Exception as error:  # noqa: BLE001 - what can't be written is refused; the saga stands as it stood
            self._turns.end(turn)
            turn.refuse(error)
            self._answer(live, turn)
            if all(ask.done is not None for ask in turn.asks):
                self._finish(live)
            else:  # an answer among them has nobody to tell
                self._set_aside(live, error)
            return
        live.busy, turn.events = True, ()  # they are encoded: what waits for a commit should be little
        self._writer.put(append, partial(self._when_written, live, turn))

    def _written(self, live: Live, turn: Turn, error: Exception | None) -> None:
        live.busy = False
        self._turns.end(turn)
        if error is None:
            live.started_at = live.started_at or turn.at
            live.state = turn.state
            self._answer(live, turn)
            self._finish(live)
        elif isinstance(error, VersionConflict):
            live.asks[:0] = turn.asks
            self._reload(live)  # whoever lost reads back and decides again
        elif isinstance(error, Fenced):
            live.asks[:0] = turn.asks
            live.forget_answers()  # of an epoch gone by: the calls were made again since, by whoever came then
            self.on_fenced(error)
            self._reload(live)
        elif isinstance(error, ClaimLost):
            self._without_claims(live, turn, error)
        else:
            turn.refuse(error)
            self._answer(live, turn)
            if not isinstance(error, StoreUnavailable):
                self._set_aside(live, error)

    def _without_claims(self, live: Live, turn: Turn, error: ClaimLost) -> None:
        """Somebody else has the inbox's rows: what else was asked is decided again, on what is recorded now."""
        for ask in turn.asks:
            if ask.claim is not None and ask.done is not None:
                ask.done(error)
        live.asks[:0] = [ask for ask in turn.asks if ask.claim is None]
        self._reload(live)

    def _answer(self, live: Live, turn: Turn) -> None:
        verdicts = turn.verdicts
        for place, ask in enumerate(turn.asks):
            verdict = verdicts[place]
            if isinstance(ask, Report):  # not before: until it is recorded, its call looks as if it were owed
                self._effects.hand_back(live, ask)
            if ask.done is not None:
                ask.done(verdict)
            elif verdict is not None:
                context = {"message": "an outcome could not be recorded", "exception": verdict}
                self._loop.call_exception_handler(context)

    def _finish(self, live: Live) -> None:
        """What is recorded is so: act on it, tell who waits, go on with what was asked meanwhile."""
        if live.state is not None:
            if not live.is_stale:
                self._effects.carry_out(live)
            self.watchers.tell(live)
        if live.newest > live.version or live.is_stale or live.late:
            self._reload(live)
        elif live.asks:
            self._touch(live)
        elif live.state is not None and live.state.version == 0:
            self._drop(live, UnknownSaga(live.saga_id))
        elif live.is_idle or not (self._is_ours(live) or live.waiters):
            self._let_go(live)
        self._places.feed_soon()

    def _is_ours(self, live: Live) -> bool:
        """Whether this engine moves it on; of one that is not read, or not begun, nobody can say."""
        return live.state is None or self._ownership.holds(live.shard)

    def _let_go(self, live: Live) -> None:
        live.set_timer(None, None)
        self._lives.pop(live.saga_id, None)
        if self._is_ours(live):  # else it may come back as it is
            self.let_go[live.saga_id] = live.version

    # -- loading -------------------------------------------------------------------------------------

    def _reload(self, live: Live) -> None:
        live.busy, live.newest = True, 0
        live.asks.extend(live.late)
        live.late = ()
        is_taken_up, live.is_stale = live.is_stale or live.version == 0, False
        live.loading = self._begin(self._load(live, reissue=is_taken_up))

    async def _load(self, live: Live, *, reissue: bool) -> None:
        try:
            await self._loader.load(live)
        except StoreUnavailable as error:
            if self._closing:
                self._drop(live, error)
                return
            live.is_stale |= reissue
            self._effects.later(RELOAD_DELAY, partial(self._reload, live))
            return
        except Exception as error:  # noqa: BLE001 - a stream that can't be folded is set aside; others go on
            self._set_aside(live, error)
            return
        live.busy = False
        if live.newest > live.version or live.is_stale:  # taken over since it was read, it is read once more
            live.is_stale |= reissue
            self._reload(live)
        elif live.state is None:
            self._not_there(live)
        else:
            if live.set_aside is not None and live.state.is_open and not self._ownership.is_shared:
                self._show_parked(live.saga_id, live.set_aside)
            self.watchers.read(live)
            self._effects.carry_out(live, reissue=reissue)
            self._touch(live)

    def _not_there(self, live: Live) -> None:
        """Nothing is recorded: only a start that came meanwhile makes something of it."""
        unknown = UnknownSaga(live.saga_id)
        while live.asks and live.asks[0].definition is None:
            done = live.asks.pop(0).done
            if done is not None:
                done(unknown)
        if live.asks:
            self._touch(live)
        elif live.late:
            self._reload(live)
        else:
            self._drop(live, unknown)

    def _set_aside(self, live: Live, error: Exception) -> None:
        """A saga that can't be folded or written is shown as parked in the index; the others go on."""
        if self._ownership.holds(live.shard):
            self._show_parked(live.saga_id, reason_of(error))
        self._drop(live, error)

    def _show_parked(self, saga_id: str, reason: str) -> None:
        self._begin(self._loader.show_parked(saga_id, reason))

    def _begin(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        self._tasks.add(task := self._loop.create_task(work))
        task.add_done_callback(self._tasks.discard)
        return task

    def _drop(self, live: Live, error: Exception) -> None:
        live.busy = False
        live.set_timer(None, None)
        self._lives.pop(live.saga_id, None)
        live.refuse(error)

    # -- what comes back -----------------------------------------------------------------------------

    def _report(self, report: Report) -> None:
        live = self.live(report.saga_id)
        self._ask(live, report)

    def _wake(self, live: Live) -> None:
        self._ask(live, Ask(Wake))

    def _hunger(self, live: Live) -> None:
        """It could go on, but found no room: it is woken in its turn when there is some."""
        may_begin = live.bindings is not None and self._ownership.may_begin(live.shard)
        if live.state is not None and may_begin:  # else it is woken when it may
            self._places.wait(live.state)

    def _feed(self, saga_id: str) -> None:
        live = self._lives.get(saga_id)
        if live is not None and not live.busy:  # a busy one asks again when it is done
            live.asks.append(Ask(Wake, in_turn=True))
            self._take_turn_alone(live)
