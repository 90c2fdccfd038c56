"""Carries out what react asks for: attempts to the dispatcher, due times to the timers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from saga_es.model.decision import timeout_policy
from saga_es.model.defaults import Defaults
from saga_es.model.effects import CancelAttempt, NeedRoom, RunAttempt, WakeAt
from saga_es.model.react import react
from saga_es.model.times import later
from saga_es.runtime.clock import Clock
from saga_es.runtime.dispatcher import Dispatcher, Report
from saga_es.runtime.live import Live, attempt_id
from saga_es.runtime.ownership import Ownership
from saga_es.runtime.places import Places
from saga_es.runtime.timers import Timers


class Effects:
    """The process manager's hands."""

    def __init__(
        self,
        *,
        dispatcher: Dispatcher,
        timers: Timers,
        clock: Clock,
        defaults: Defaults,
        ownership: Ownership,
        places: Places,
        wake: Callable[[Live], None],
        hunger: Callable[[Live], None],
    ) -> None:
        self._dispatcher, self._timers, self._clock, self._defaults = dispatcher, timers, clock, defaults
        self._ownership, self._places, self._wake, self._hunger = ownership, places, wake, hunger
        self._stopped = False

    def stop(self) -> None:
        """Begin nothing more: the engine is being left."""
        self._stopped = True

    def later(self, delay: timedelta, callback: Callable[[], None]) -> None:
        self._timers.at(self._clock.now() + delay, callback)

    def carry_out(self, live: Live, *, reissue: bool = False) -> None:
        """Do what the saga's recorded state asks for and is not in hand yet.

        Args:
            live: the saga; nothing is done where its code is not at hand, or another engine moves it on.
            reissue: the attempts were dispatched by an earlier engine: the same key and number again, as there is
                room for them, with their timeout anew, since an outage is not a timeout.
        """
        if self._stopped or live.state is None or live.definition is None or live.bindings is None:
            return
        if not self._ownership.holds(live.shard):
            return
        due: datetime | None = None
        effects = react(live.definition, live.state, live.handed)
        if reissue:
            again = (attempt_id(effect) for effect in effects if isinstance(effect, RunAttempt))
            live.reissued = {*live.reissued, *again}
        now = self._clock.now() if effects else None
        for effect in effects:
            match effect:
                case RunAttempt():
                    self._run(live, effect, now)
                case CancelAttempt():
                    self._dispatcher.cancel(effect)
                case WakeAt():
                    due = effect.due
                case NeedRoom():
                    self._hunger(live)
        self._set_alarm(live, due)

    def _run(self, live: Live, attempt: RunAttempt, now: datetime | None) -> None:
        assert live.definition is not None  # noqa: S101 - carry_out has looked
        assert live.bindings is not None  # noqa: S101 - the same
        is_reissued = live.is_reissued(attempt)
        index = live.definition.graph.index[attempt.step]
        if is_reissued:  # else its place was reserved when its dispatch was decided
            if self._is_answered(live, attempt):
                live.hand_out(attempt, index)
                return
            if not self._may_resume(live, attempt):
                return
            timeout = timeout_policy(live.definition.plan, index, attempt.op, self._defaults)
            attempt = replace(
                attempt, deadline=None if timeout is None else later(self._clock.now(), timeout)
            )
        live.hand_out(attempt, index)
        self._dispatcher.run(attempt, live.bindings, reissued=is_reissued, now=now)

    def _is_answered(self, live: Live, attempt: RunAttempt) -> bool:
        """Whether an answer has come and is about to be decided on: the call was made before a shard was lost."""
        reports = (ask for ask in live.asks if isinstance(ask, Report))
        return any(attempt_id(report) == attempt_id(attempt) for report in reports)

    def _may_resume(self, live: Live, attempt: RunAttempt) -> bool:
        """Whether an attempt may be made again now; one whose call is in the air holds its place already."""
        if self._dispatcher.awaits(attempt):
            return True
        if not self._ownership.may_begin(live.shard):  # it is woken when it may
            return False
        if self._places.may_resume(live.held):
            return True
        self._places.wait_to_resume(live.saga_id, live.held)
        return False

    def hand_back(self, live: Live, report: Report) -> None:
        """An attempt's answer is recorded: it is no longer in hand."""
        if live.definition is not None:
            live.take_back(report, live.definition.graph.index[report.step])

    def _set_alarm(self, live: Live, due: datetime | None) -> None:
        if due is None:
            if live.timer is not None:
                live.set_timer(None, None)
        elif due <= self._clock.now():
            live.set_timer(None, None)
            self._hunger(live)  # it was due when this was decided, and found no room
        elif due != live.timer_due or live.timer is None:
            live.set_timer(self._timers.at(due, lambda: self._ring(live)), due)

    def _ring(self, live: Live) -> None:
        live.set_timer(None, None)
        self._wake(live)
