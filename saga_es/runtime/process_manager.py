"""The process manager: outcome → decide → append → react → dispatch, one saga at a time, many at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from saga_es.errors import SagaError, StoreUnavailable, UnknownSaga, VersionConflict
from saga_es.model.commands import RecordOutcome, Wake
from saga_es.model.decide import Decided, decide_with_state
from saga_es.model.events import CompensationDispatched, Event, StepDispatched
from saga_es.model.state import SagaState
from saga_es.runtime.clock import Clock
from saga_es.runtime.dispatcher import Dispatcher, Report
from saga_es.runtime.effects import Effects
from saga_es.runtime.live import Ask, Ended, Live
from saga_es.runtime.loading import Loader
from saga_es.runtime.recording import make_append
from saga_es.runtime.settings import Settings
from saga_es.runtime.timers import Timers
from saga_es.runtime.writer import Writer
from saga_es.store.port import Store

DISPATCHES = (StepDispatched, CompensationDispatched)  # asked by type: isinstance of a model's class is slow
RELOAD_DELAY = timedelta(milliseconds=100)


@dataclass(slots=True)
class _Turn:
    """What one saga's gathered asks came to."""

    asks: Sequence[Ask]
    verdicts: list[Exception | None]
    events: list[Event]
    state: SagaState
    at: datetime
    dispatched: int = 0


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
        self._store, self._writer, self._loader = store, writer, loader
        self._clock, self._settings, self._chance = clock, settings, chance
        self._defaults = settings.defaults()
        self._lives: dict[str, Live] = {}
        self._dirty: dict[str, Live] = {}
        self._hungry: dict[str, None] = {}
        self._reserved = 0
        self._closing = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._feeding = False
        self.let_go: dict[str, int] = {}  # ended, with its version, until the log was looked at once more
        self.dispatcher = make_dispatcher(self._report, self._feed_soon)
        self._effects = Effects(
            dispatcher=self.dispatcher,
            timers=timers,
            clock=clock,
            defaults=self._defaults,
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
        live.waiters.append(future)
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

    def in_hand(self, saga_id: str) -> Live | None:
        return self._lives.get(saga_id)

    def adopt(self, lives: Iterable[Live]) -> None:
        """Take over loaded sagas: issue again what is in flight, dispatch what is owed."""
        for live in lives:
            if live.saga_id not in self._lives:
                self._lives[live.saga_id] = live
                self._effects.carry_out(live, reissue=True)
                self._touch(live)

    def changed_elsewhere(self, saga_id: str, version: int) -> None:
        """The log was seen to have this version of a saga: read it again unless that is known here."""
        live = self.live(saga_id)
        live.newest = max(live.newest, version)
        if not live.busy and live.version < version:
            self._reload(live)

    async def close(self, drain: timedelta) -> None:
        """Let what is in flight finish for ``drain``, record it, and start nothing more."""
        self._closing = True
        self._effects.stop()
        await self.dispatcher.drain(drain)
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
            for ask in live.asks:
                if ask.done is not None:
                    ask.done(error)
            live.asks.clear()
            for waiter in live.waiters:
                if not waiter.done():
                    waiter.set_exception(error)
            live.waiters.clear()

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
            self._take_turn(live)

    def _take_turn(self, live: Live) -> None:
        if live.busy:
            return
        if live.asks:
            turn = self._decide(live)
            if turn is None:
                return
            if turn.events:
                self._append(live, turn)
                return
            self._answer(live, turn)
        self._finish(live)

    def _decide(self, live: Live) -> _Turn | None:
        asks = tuple(live.asks)
        if live.state is None:
            first = asks[0]
            if first.definition is None:  # known only from asks of an unknown saga; the load has settled that
                return None
            live.definition, live.bindings = first.definition, first.bindings
            live.state = SagaState.unborn(first.definition, live.saga_id)
        live.asks.clear()
        turn = _Turn(asks, [], [], live.state, self._clock.now())
        for ask in asks:
            turn.verdicts.append(self._decide_one(live, turn, ask))
        return turn

    def _decide_one(self, live: Live, turn: _Turn, ask: Ask) -> Exception | None:
        try:
            decided = self._decided(live, turn, ask)
        except SagaError as error:
            return error
        turn.state = decided.state
        turn.events.extend(decided.events)
        begun = sum(type(event) in DISPATCHES for event in decided.events)
        turn.dispatched += begun
        self._reserved += begun
        return None

    def _decided(self, live: Live, turn: _Turn, ask: Ask) -> Decided:
        assert live.definition is not None  # noqa: S101 - set with the state
        command = ask.make(
            at=turn.at, room=self._room(live, turn.state, ask), jitter=self._chance(), defaults=self._defaults
        )
        return decide_with_state(live.definition, turn.state, command)

    def _room(self, live: Live, state: SagaState, ask: Ask) -> int:
        if self._closing or live.bindings is None:
            return 0
        if ask.definition is not None and self._hungry:
            return 0  # others have waited longer
        fold = state.fold
        own = self._settings.max_in_flight_per_saga - (fold.open_actions | fold.open_undos).bit_count()
        return max(0, min(own, self._free_places()))

    def _free_places(self) -> int:
        return self._settings.max_in_flight - self.dispatcher.in_flight - self._reserved

    def _append(self, live: Live, turn: _Turn) -> None:
        assert live.state is not None  # noqa: S101 - a turn has one
        live.busy = True
        try:
            append = make_append(
                self._store,
                live.state,
                turn.state,
                turn.events,
                at=turn.at,
                started_at=live.started_at,
                aside=live.set_aside,
            )
        except Exception as error:  # noqa: BLE001 - one saga's bad bytes stop no other
            self._written(live, turn, error)
            return
        self._writer.put(append, partial(self._written, live, turn))

    def _written(self, live: Live, turn: _Turn, error: Exception | None) -> None:
        live.busy = False
        self._reserved -= turn.dispatched
        if error is None:
            live.started_at = live.started_at or turn.at
            live.state = turn.state
            self._answer(live, turn)
            self._finish(live)
        elif isinstance(error, VersionConflict):
            live.asks.extendleft(reversed(turn.asks))
            self._reload(live)  # whoever lost reads back and decides again
        else:
            turn.verdicts = [error] * len(turn.asks)
            self._answer(live, turn)
            if not isinstance(error, StoreUnavailable):
                self._set_aside(live, error)

    def _answer(self, live: Live, turn: _Turn) -> None:
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
        if self._hungry:
            self._feed_soon()

    def _tell(self, live: Live) -> None:
        state = live.state
        if live.waiters and state is not None and state.status.is_terminal:
            for waiter in live.waiters:
                if not waiter.done():
                    waiter.set_result(Ended(state, live.bindings))
            live.waiters.clear()

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
            self._effects.carry_out(live, reissue=before == 0)
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
        asks, waiters = tuple(live.asks), tuple(live.waiters)
        live.asks.clear()
        live.waiters.clear()
        for ask in asks:
            if ask.done is not None:
                ask.done(error)
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(error)

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

    def _hunger(self, live: Live) -> None:
        """It could go on, but found no room: it is woken in its turn when there is some."""
        state = live.state
        if state is None or self._closing or live.bindings is None:
            return
        fold = state.fold
        if (fold.open_actions | fold.open_undos).bit_count() < self._settings.max_in_flight_per_saga:
            self._hungry[live.saga_id] = None
            self._feed_soon()

    def _feed_soon(self) -> None:
        if not self._feeding and self._hungry and not self._closing:
            self._feeding = True
            self._loop.call_soon(self._feed)

    def _feed(self) -> None:
        self._feeding = False
        while self._hungry and self._free_places() > 0:
            saga_id = next(iter(self._hungry))
            del self._hungry[saga_id]
            live = self._lives.get(saga_id)
            if live is not None and not live.busy:  # a busy one asks again when it is done
                live.asks.append(Ask(Wake))
                self._take_turn(live)
