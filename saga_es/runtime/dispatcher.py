"""Runs attempts in parallel; every answer, timeout and late reply becomes a report."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import ClassVar, Final, NoReturn

from saga_es.authoring.bindings import SagaBindings
from saga_es.model.commands import Failed, Succeeded
from saga_es.model.effects import CancelAttempt, RunAttempt
from saga_es.model.events import Op
from saga_es.model.keys import call_key
from saga_es.model.problem import Problem, ProblemKind
from saga_es.model.times import later
from saga_es.runtime.flight import Answer, Flight, Leg, is_definite
from saga_es.runtime.threads import Threads
from saga_es.runtime.timers import Timers
from saga_es.transport.local import MAX_DEPTH, MAX_PAYLOAD, Limits, LocalTransport
from saga_es.transport.port import Exchange, Transport

UNWINDING: Final = timedelta(milliseconds=100)
"""How long a cancelled coroutine has for its ``finally`` before its attempt is reported without waiting for it."""

EXITS: Final[tuple[type[KeyboardInterrupt | SystemExit], ...]] = (KeyboardInterrupt, SystemExit)
"""Orders to end the process: no answers."""

CANCELLED: Final = Failed(
    Problem(
        kind=ProblemKind.CANCELLED,
        type="CancelledError",
        message="cancelled in flight, since the saga had failed elsewhere",
    )
)


class Report:
    """How an attempt ended.

    Attributes:
        probed: the answer is the probe's.
        late: the attempt was reported before, as timed out or cancelled; this is what came of it after all.
        done, definition, bindings, in_turn, claim: what nothing but a report has none of; see ``Ask``.
    """

    __slots__ = ("late", "number", "op", "outcome", "probed", "round", "saga_id", "step")

    # It stands in line with what else is asked of a saga, and saves a wrapping.
    done: ClassVar[None] = None
    definition: ClassVar[None] = None
    bindings: ClassVar[None] = None
    in_turn: ClassVar[bool] = False
    claim: ClassVar[None] = None

    op: Op

    def __init__(self, attempt: RunAttempt, outcome: Answer, *, probed: bool, late: bool) -> None:
        self.saga_id, self.step, self.op = attempt.saga_id, attempt.step, attempt.op
        self.round, self.number = attempt.round, attempt.number
        self.outcome, self.probed, self.late = outcome, probed, late


def raise_it(error: BaseException) -> NoReturn:
    """Raise out of the loop's callback, and so out of the loop: KeyboardInterrupt and SystemExit are no answers."""
    raise error


class Dispatcher:
    """Runs attempts: coroutines as tasks, plain functions in threads; used on the event loop only.

    An attempt holds a place from ``run`` until its call, and its probe, have really ended: a thread that
    outlives its timeout goes on holding one. Steps see the context that the dispatcher was made in.

    Args:
        deliver: takes each report, on the loop.
        on_room: called after a place became free.
        fatal: takes a KeyboardInterrupt or SystemExit of a step; by default it ends the loop.
        transport: where steps run; by default in this process, with results of at most ``max_payload`` bytes
            and ``max_depth`` levels.
    """

    def __init__(
        self,
        *,
        timers: Timers,
        threads: Threads,
        deliver: Callable[[Report], None],
        on_room: Callable[[], None] = lambda: None,
        fatal: Callable[[BaseException], None] = raise_it,
        max_payload: int = MAX_PAYLOAD,
        max_depth: int = MAX_DEPTH,
        transport: Transport | None = None,
    ) -> None:
        self._timers, self._threads, self._deliver = timers, threads, deliver
        self._on_room, self._fatal = on_room, fatal
        self._transport: Transport = transport or LocalTransport(Limits(max_payload, max_depth))
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._flights: dict[tuple[str, int], Flight] = {}
        self._outlived: set[Flight] = set()  # by another call of the same attempt; their threads run on
        self._owed = 0  # attempts that have not been reported
        self._tasks = 0
        self._draining = False
        self._awaited: tuple[Callable[[], bool], asyncio.Future[None]] | None = None

    @property
    def in_flight(self) -> int:
        """How many attempts hold a place."""
        return len(self._flights) + len(self._outlived)

    def awaits(self, attempt: RunAttempt) -> bool:
        """Whether an attempt is in flight, and has not been reported."""
        flight = self._flights.get((attempt.key, attempt.number))
        return flight is not None and not flight.is_over

    def run(
        self, attempt: RunAttempt, bindings: SagaBindings, *, reissued: bool, now: datetime | None = None
    ) -> None:
        """Begin an attempt whose dispatch is recorded, unless it is in flight: then its answer is still to come.

        One that was reported, and whose thread runs on, is made anew beside that.

        Args:
            attempt: as react asks for it.
            bindings: the saga's functions.
            reissued: it may have been made before, by a process that died, so a rejection is not definite.
            now: where whoever asks has just looked at the clock.
        """
        before = self._flights.get((attempt.key, attempt.number))
        if before is not None and not before.is_over:
            before.doubtful |= reissued  # another engine may have made it meanwhile
            return
        if self._draining:
            return
        exchange = self._transport.call(attempt, bindings)
        if before is not None:
            self._outlived.add(before)
        flight = Flight(exchange, attempt, bindings, ground=self, began=now or self._timers.now())
        flight.doubtful |= reissued
        self._flights[flight.key] = flight
        self._owed += 1
        self._begin(flight, flight)
        if attempt.deadline is not None:
            flight.timer = self._timers.at(attempt.deadline, flight.time_out)

    def cancel(self, effect: CancelAttempt) -> None:
        """Cancel an action's coroutine, if it is in flight; a thread drains."""
        flight = self._flights.get((call_key(effect.saga_id, effect.step, "action", 1), effect.number))
        if flight is None or flight.is_over or flight.verdict is not None:
            return
        if flight.is_running and flight.task is not None:
            self._stop(flight, CANCELLED)

    async def drain(self, patience: timedelta) -> None:
        """Begin nothing more, wait for the answers in flight up to ``patience``, and cancel what is left.

        What is cancelled here is not reported: it is issued again at the next entry. Threads are left alone.
        """
        self._draining = True
        for flight in self._all:
            for leg in flight.legs:
                leg.see_off()  # whoever ends the loop cancels what has not begun, too
        await self._until(lambda: self._owed == 0, patience)
        self.close()
        await self._until(lambda: self._tasks == 0, UNWINDING)

    def close(self) -> None:
        """Begin nothing more, report nothing more, and cancel the coroutines in flight."""
        self._draining = True
        for flight in self._all:
            self._silence(flight)
            for leg in flight.legs:
                leg.cancel()

    @property
    def _all(self) -> tuple[Flight, ...]:
        return (*self._flights.values(), *self._outlived)

    async def _until(self, condition: Callable[[], bool], patience: timedelta) -> None:
        if condition():
            return
        reached: asyncio.Future[None] = self._loop.create_future()
        self._awaited = condition, reached
        timer = self._timers.at(later(self._timers.now(), patience), partial(_settle, reached))
        try:
            await reached
        finally:
            self._awaited = None
            timer.cancel()

    def _look_round(self) -> None:
        if self._awaited is not None and self._awaited[0]():
            _settle(self._awaited[1])

    # -- making a call -------------------------------------------------------------------------------

    def _begin(self, flight: Flight, leg: Leg) -> None:
        context = self._context.copy()
        if leg.exchange.blocks:
            context.run(self._threads.submit, leg.make, partial(self._returned, flight, leg))
            return
        leg.land = flight.landed if leg is flight else partial(self.landed, flight, leg)
        # The task's name is for whoever debugs a loop; one that asyncio makes up costs more, and says less.
        leg.task = self._loop.create_task(leg.fly(), name=flight.attempt.key, context=context)
        self._tasks += 1
        if leg is not flight or self._draining or leg.task.done():
            leg.see_off()  # from here on nobody else would; of the rest drain does, or the deadline

    def _returned(self, flight: Flight, leg: Leg, answer: Answer | None, error: BaseException | None) -> None:
        self._end(flight, leg, answer if error is None else error)

    def landed(self, flight: Flight, leg: Leg, answer: Answer | BaseException | None, /) -> None:
        """A leg's coroutine has ended: for the leg to call, at the end of its task.

        An order to exit passes through no task, and an eager task comes here before it is known: both a turn later.
        """
        if leg.task is None or isinstance(answer, EXITS):
            self._loop.call_soon(self._landed, flight, leg, answer, context=self._context)
            return
        try:
            self._context.run(self._landed, flight, leg, answer)
        except Exception as error:  # noqa: BLE001 - ours, not the step's: its task ends well
            context = {"message": "what follows an attempt's answer raised", "exception": error}
            self._loop.call_exception_handler(context)

    def _landed(self, flight: Flight, leg: Leg, answer: Answer | BaseException | None) -> None:
        self._tasks -= 1
        self._look_round()
        if leg.is_suspect:
            # A loop that is being closed is gone by then; a step that cancelled itself has failed.
            due = self._timers.now() + UNWINDING
            self._timers.at(due, partial(self._end, flight, leg, answer))
        else:
            self._end(flight, leg, answer)

    def _end(self, flight: Flight, leg: Leg, answer: Answer | BaseException | None) -> None:
        """Sort out what is nobody's answer, and give the place back."""
        leg.is_running = False
        before = self.in_flight
        try:
            if isinstance(answer, EXITS):
                self._silence(flight)
                self._fatal(answer)
                return
            if answer is None and not leg.is_cancelled:  # the loop is being closed under us
                self._silence(flight)
            if not flight.is_silent:
                if answer is not None and not isinstance(answer, (Succeeded, Failed)):
                    answer = leg.exchange.failed(answer)
                if leg is flight:
                    self._call_ended(flight, answer)
                else:
                    self._probe_ended(flight, answer)
        finally:
            self._free(flight)
            if self.in_flight < before:
                self._on_room()

    def _free(self, flight: Flight) -> None:
        if flight.is_in_the_air or not (flight.is_over or flight.is_silent):
            return
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]
        else:
            self._outlived.discard(flight)

    # -- what comes of it ----------------------------------------------------------------------------

    def _call_ended(self, flight: Flight, answer: Answer | None) -> None:
        verdict = flight.verdict
        if verdict is None:
            if answer is not None:
                self._conclude(flight, answer)
        elif flight.is_over:
            if answer is not None and self._is_news(flight, answer):
                self._report(flight, answer, late=True)
        elif answer is None or not is_definite(answer):
            if flight.probe is None:
                self._conclude(flight, verdict)
        elif flight.probe is not None:
            flight.probe.cancel()
            self._report(flight, answer)  # a thread came back while the probe was asking
        elif verdict is CANCELLED:
            self._report(flight, answer)  # it was done before it was cancelled
        else:
            self._report(flight, verdict)
            self._report(flight, answer, late=True)

    def _is_news(self, flight: Flight, answer: Answer) -> bool:
        """Whether a late answer says what the report did not.

        Where the attempt was made anew, only that it succeeded: of all else the newer call tells.
        """
        if flight in self._outlived:
            return isinstance(answer, Succeeded)
        return is_definite(answer) or flight.is_in_thread

    def timed_out(self, flight: Flight, /) -> None:
        """The time of a flight's call is over: for its timer to call."""
        self._stop(flight, flight.timeout())

    def _stop(self, flight: Flight, verdict: Failed) -> None:
        """Wait no longer for the call, but for what a cancelled coroutine does in its ``finally``."""
        flight.verdict = verdict
        flight.cancel()
        if flight.task is None:
            self._conclude(flight, verdict)
        else:
            grace = self._timers.now() + UNWINDING
            flight.set_timer(self._timers.at(grace, partial(self._conclude, flight, verdict)))

    def _conclude(self, flight: Flight, answer: Answer) -> None:
        """Report the answer, unless it is one that a probe may better."""
        flight.set_timer(None)
        probe: Exchange | None = None
        if isinstance(answer, Failed) and flight.is_open_to_a_probe(answer):
            probe = self._transport.probe(flight.attempt, flight.bindings)
        if probe is None or not isinstance(answer, Failed):
            self._report(flight, answer)
            return
        flight.verdict = answer
        flight.probe = Leg(probe)
        self._begin(flight, flight.probe)
        if flight.patience is not None:
            due = later(self._timers.now(), flight.patience)
            flight.set_timer(self._timers.at(due, partial(self._probe_timed_out, flight, flight.probe)))

    def _probe_ended(self, flight: Flight, answer: Answer | None) -> None:
        if flight.is_over or flight.verdict is None:
            return
        if answer is not None and is_definite(answer):
            self._report(flight, answer, probed=True)
        else:
            self._report(flight, flight.verdict)

    def _probe_timed_out(self, flight: Flight, probe: Leg) -> None:
        probe.cancel()
        self._probe_ended(flight, None)

    def _report(self, flight: Flight, outcome: Answer, *, probed: bool = False, late: bool = False) -> None:
        if not flight.is_over:
            flight.is_over = True
            flight.set_timer(None)
            self._owed -= 1
        self._free(flight)  # first, so that what is decided on the report sees the room
        self._deliver(Report(flight.attempt, outcome, probed=probed, late=late))
        self._look_round()

    def _silence(self, flight: Flight) -> None:
        if not flight.is_silent:
            flight.is_silent = True
            flight.set_timer(None)
            if not flight.is_over:
                self._owed -= 1
            self._look_round()


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
