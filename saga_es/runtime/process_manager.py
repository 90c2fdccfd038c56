"""The process manager: outcome → decide → append → react → dispatch, one saga at a time, many at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import partial

from saga_es.errors import StoreUnavailable, UnknownSaga, VersionConflict
from saga_es.model.commands import RecordOutcome, Wake
from saga_es.runtime.clock import Clock
from saga_es.runtime.dispatcher import Dispatcher, Report
from saga_es.runtime.effects import Effects
from saga_es.runtime.live import Ask, Ended, Live
from saga_es.runtime.loading import Loader
from saga_es.runtime.places import Places
from saga_es.runtime.settings import Settings
from saga_es.runtime.timers import Timers
from saga_es.runtime.turns import Turn, Turns
from saga_es.runtime.writer import Writer
from saga_es.store.inbox import ClaimLost
from saga_es.store.port import Store

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
        chance: Callable[[], float],
        make_dispatcher: Callable[[Callable[[Report], None], Callable[[], None]], Dispatcher],
    ) -> None:
        self._writer, self._loader = writer, loader
        self._lives: dict[str, Live] = {}
        self._dirty: dict[str, Live] = {}
        self._closing = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self.let_go: dict[str, int] = {}  # ended, with its version, until the log was looked at once more
        self.dispatcher = make_dispatcher(self._report, self._room_was_made)
        self._places = Places(settings, lambda: self.dispatcher.in_flight, self._feed)
        defaults = settings.defaults()
        self._turns = Turns(store=store, clock=clock, places=self._places, defaults=defaults, chance=chance)
        self._effects = Effects(
            dispatcher=self.dispatcher,
            timers=timers,
            clock=clock,
            defaults=defaults,
            wake=self._wake,
            hunger=self._hunger,
        )

    # -- asked from outside --------------------------------------------------------------------------

    def submit(self, saga_id: str, ask: Ask) -> None:
        """Ask something of a saga; it is decided in a later turn of the loop."""
        self._ask(self.live(saga_id, fresh=ask.definition is not None), ask)

    def watch(self, saga_id: str) -> asyncio.Future[Ended]:
        """Return a future of the saga's end; UnknownSaga if there is no such saga."""
        future: asyncio.Future[Ended] = self._loop.create_future()
        live = self.live(saga_id)
        live.waiters.add(future)
        future.add_done_callback(live.waiters.discard)  # whoever gave up waiting is not kept
        if not live.busy and live.state is not None and live.state.status.is_terminal:
            self._touch(live)  # otherwise its end, or its load, is still to come and tells
        return future

    def live(self, saga_id: str, *, fresh: bool = False) -> Live:
        """Return the saga, loading it unless it is in hand; ``fresh`` takes it for new until a conflict says no."""
        found = self._lives.get(saga_id)
        if found is None:
            found = self._lives[saga_id] = Live(saga_id)
            if not fresh:
                self._reload(found)
        return found

    def is_read(self, saga_id: str) -> bool:
        """Whether it is known how a saga stands."""
        live = self._lives.get(saga_id)
        return live is None or live.state is not None

    def in_hand(self, saga_id: str) -> Live | None:
        return self._lives.get(saga_id)

    def adopt(self, lives: Iterable[Live]) -> None:
        """Take over loaded sagas: issue again what is in flight, dispatch what is owed."""
        for live in lives:
            if live.saga_id not in self._lives:
                self._lives[live.saga_id] = live
                self._effects.carry_out(live, reissue=True)
                self._touch(live)

    def stand_back(self) -> None:
        """Begin nothing while another engine may be at work on this store; answers in flight are still recorded."""
        self._places.is_shut = True
        self._effects.stop()

    def step_forward(self) -> None:
        """Go on: read every saga again, and issue what another engine may have left in flight."""
        self._places.is_shut = False
        self._effects.go_on()
        for live in tuple(self._lives.values()):
            live.forget_foreign()
            live.is_stale = True
            if not live.busy:
                self._reload(live)

    def changed_elsewhere(self, saga_id: str, version: int) -> None:
        """The log was seen to have this version of a saga: read it again unless that is known here."""
        live = self.live(saga_id)
        live.newest = max(live.newest, version)
        if not live.busy and live.version < version:
            self._reload(live)

    async def drain(self, drain: timedelta) -> None:
        """Let what is in flight finish for ``drain``, and start nothing more."""
        self._closing = self._places.is_shut = True
        self._effects.stop()
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

    # -- a turn: decide and append -------------------------------------------------------------------

    def _ask(self, live: Live, ask: Ask) -> None:
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
        live.busy = True
        self._writer.put(append, partial(self._written, live, turn))

    def _written(self, live: Live, turn: Turn, error: Exception | None) -> None:
        live.busy = False
        self._turns.end(turn)
        if error is None:
            live.started_at = live.started_at or turn.at
            live.state = turn.state
            self._answer(live, turn)
            self._finish(live)
        elif isinstance(error, VersionConflict):
            live.asks.extendleft(reversed(turn.asks))
            self._reload(live)  # whoever lost reads back and decides again
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
        live.asks.extendleft(ask for ask in reversed(turn.asks) if ask.claim is None)
        self._reload(live)

    def _answer(self, live: Live, turn: Turn) -> None:
        for ask, verdict in zip(turn.asks, turn.verdicts, strict=True):
            if ask.report is not None:  # not before: until it is recorded, its call looks as if it were owed
                self._effects.hand_back(live, ask.report)
            if ask.done is not None:
                ask.done(verdict)
            elif verdict is not None:
                context = {"message": "an outcome could not be recorded", "exception": verdict}
                self._loop.call_exception_handler(context)

    def _finish(self, live: Live) -> None:
        """What is recorded is so: act on it, tell who waits, go on with what was asked meanwhile."""
        if live.state is not None:
            self._effects.carry_out(live)
            self._tell(live)
        if live.newest > live.version:
            self._reload(live)
        elif live.asks:
            self._touch(live)
        elif live.state is not None and live.state.version == 0:
            self._drop(live, UnknownSaga(live.saga_id))
        elif live.is_idle:
            live.set_timer(None, None)
            self._lives.pop(live.saga_id, None)
            self.let_go[live.saga_id] = live.version
        self._places.feed_soon()

    def _tell(self, live: Live) -> None:
        state = live.state
        if live.waiters and state is not None and state.status.is_terminal:
            live.answer_waiters(Ended(state, live.bindings))

    # -- loading -------------------------------------------------------------------------------------

    def _reload(self, live: Live) -> None:
        live.busy, live.newest = True, 0
        task = self._loop.create_task(self._load(live))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _load(self, live: Live) -> None:
        before = live.version
        try:
            await self._loader.load(live)
        except StoreUnavailable as error:
            if self._closing:
                self._drop(live, error)
                return
            self._effects.later(RELOAD_DELAY, partial(self._reload, live))
            return
        except Exception as error:  # noqa: BLE001 - a stream that can't be folded is set aside; others go on
            self._set_aside(live, error)
            return
        live.busy = False
        if live.newest > live.version:
            self._reload(live)
        elif live.state is None:
            self._not_there(live)
        else:
            if live.set_aside is not None and live.state.is_open:
                self._show_parked(live.saga_id, live.set_aside)
            reissue, live.is_stale = before == 0 or live.is_stale, False
            self._effects.carry_out(live, reissue=reissue, foreign=not reissue)
            self._touch(live)

    def _not_there(self, live: Live) -> None:
        """Nothing is recorded: only a start that came meanwhile makes something of it."""
        unknown = UnknownSaga(live.saga_id)
        while live.asks and live.asks[0].definition is None:
            done = live.asks.popleft().done
            if done is not None:
                done(unknown)
        if live.asks:
            self._touch(live)
        else:
            self._drop(live, unknown)

    def _set_aside(self, live: Live, error: Exception) -> None:
        """A saga that can't be folded or written is shown as parked in the index; the others go on."""
        self._show_parked(live.saga_id, f"{type(error).__name__}: {error}")
        self._drop(live, error)

    def _show_parked(self, saga_id: str, reason: str) -> None:
        task = self._loop.create_task(self._loader.show_parked(saga_id, reason))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _drop(self, live: Live, error: Exception) -> None:
        live.busy = False
        live.set_timer(None, None)
        self._lives.pop(live.saga_id, None)
        live.refuse(error)

    # -- what comes back -----------------------------------------------------------------------------

    def _report(self, report: Report) -> None:
        live = self.live(report.saga_id)
        call = (report.step, report.op, report.round, report.number)
        outcome = partial(
            RecordOutcome,
            step=report.step,
            op=report.op,
            round=report.round,
            attempt=report.number,
            outcome=report.outcome,
            reissued=call in live.reissued,
            probed=report.probed,
        )
        self._ask(live, Ask(outcome, report=None if report.late else report))

    def _wake(self, live: Live) -> None:
        self._ask(live, Ask(Wake))

    def _room_was_made(self) -> None:
        self._places.feed_soon()

    def _hunger(self, live: Live) -> None:
        """It could go on, but found no room: it is woken in its turn when there is some."""
        if live.state is not None and live.bindings is not None:
            self._places.wait(live.state)

    def _feed(self, saga_id: str) -> None:
        live = self._lives.get(saga_id)
        if live is not None and not live.busy:  # a busy one asks again when it is done
            live.asks.append(Ask(Wake, in_turn=True))
            self._take_turn_alone(live)
