"""An attempt in the air: its call, the probe that may follow, and what is known of it so far."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

from saga_es.authoring.bindings import SagaBindings
from saga_es.model.commands import Failed, Succeeded
from saga_es.model.effects import RunAttempt
from saga_es.model.problem import Problem, ProblemKind
from saga_es.runtime.timers import Timer
from saga_es.transport.port import Exchange

Answer = Succeeded | Failed


Landed = Callable[[Answer | BaseException | None], None]
"""Takes what a leg's coroutine came to: its answer, an order to exit or what nobody expects, ``None`` if cancelled."""


class Ground(Protocol):
    """Where a flight comes down: the dispatcher."""

    def landed(self, flight: Flight, leg: Leg, answer: Answer | BaseException | None, /) -> None:
        """A leg's coroutine has ended."""

    def timed_out(self, flight: Flight, /) -> None:
        """The time of a flight's call is over."""


class Leg:
    """One call of a user's function.

    Attributes:
        task: where it is a coroutine; ``None`` in a thread, and until it is made.
        land: told, once, when the coroutine has ended.
        is_cancelled: by the engine, so that a CancelledError is no answer.
        is_suspect: its task was cancelled, and not by the engine: by the step itself, or by a loop that is
            being closed under us.
    """

    __slots__ = ("exchange", "is_cancelled", "is_running", "is_suspect", "land", "task")

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.task: asyncio.Task[None] | None = None
        self.land: Landed | None = None
        self.is_running = True
        self.is_cancelled = self.is_suspect = False

    def cancel(self) -> None:
        """Cancel a coroutine, and keep a thread's call from beginning if it still waits for a thread."""
        if self.is_running:
            self.is_cancelled = True
            if self.task is not None:
                self.task.cancel()
                self.see_off()

    def see_off(self) -> None:
        """Have it land when its task is done, if it has not by then: cancelled before it begins, it never does."""
        if self.task is not None:
            self.task.add_done_callback(self._is_over)

    def _is_over(self, task: asyncio.Task[None]) -> None:
        self._land(None if task.cancelled() else task.exception())

    def _land(self, answer: Answer | BaseException | None) -> None:
        land, self.land = self.land, None  # it holds the flight that holds it
        if land is not None:
            land(answer)

    def make(self) -> Answer | None:
        """Make the call in this thread; ``None`` if its time was over before a thread was free."""
        return None if self.is_cancelled else self.exchange.made()

    async def fly(self) -> None:
        """Make the call on the loop, and land in the same breath: a callback of the task's would cost another turn."""
        answer: Answer | BaseException | None = None
        try:
            answer = await self.exchange.awaited()
        except asyncio.CancelledError as error:
            if not self.is_cancelled:
                self.is_suspect = self.task is not None and self.task.cancelling() > 0
                answer = self.exchange.failed(error)
        except GeneratorExit:
            # A step's own, and then the task ends of it; or nobody drives this coroutine any more.
            self.see_off()
            raise
        except BaseException as error:  # noqa: BLE001 - the ground's to sort out
            answer = error
        self._land(answer)


class Flight(Leg):
    """An attempt that holds a place: its call, and the probe that may follow.

    One object for each attempt, and no closure about it: what is in the air is what the garbage collector walks.

    Attributes:
        key: of its call, and its number.
        began: when the call was made.
        doubtful: a rejection is not definite: an earlier attempt, or this one in a process that died, may
            have had its effect.
        verdict: what will be reported unless the unwinding coroutine, or the probe, knows better.
        is_over: it was reported; what comes now is late.
        is_silent: nothing more is reported of it.
    """

    __slots__ = (
        "attempt", "began", "bindings", "doubtful", "ground", "is_over", "is_silent", "key", "probe", "timer",
        "verdict",
    )  # fmt: skip

    def __init__(
        self,
        exchange: Exchange,
        attempt: RunAttempt,
        bindings: SagaBindings,
        *,
        ground: Ground,
        began: datetime,
    ) -> None:
        super().__init__(exchange)
        self.attempt, self.bindings, self.ground, self.began = attempt, bindings, ground, began
        self.key = (attempt.key, attempt.number)
        self.doubtful = attempt.doubtful
        self.probe: Leg | None = None
        self.verdict: Failed | None = None
        self.timer: Timer | None = None
        self.is_over = self.is_silent = False

    def landed(self, answer: Answer | BaseException | None) -> None:
        self.ground.landed(self, self, answer)

    def time_out(self) -> None:
        self.ground.timed_out(self)

    @property
    def legs(self) -> tuple[Leg, ...]:
        return (self,) if self.probe is None else (self, self.probe)

    @property
    def is_in_thread(self) -> bool:
        return self.exchange.blocks

    @property
    def is_in_the_air(self) -> bool:
        """Whether its call, or its probe, has not really ended."""
        return self.is_running or (self.probe is not None and self.probe.is_running)

    @property
    def patience(self) -> timedelta | None:
        """How long the call may take, and then its probe: as the plan says, else what there was until the deadline."""
        attempt = self.attempt
        if attempt.deadline is None:
            return None
        step = self.bindings.definition.step(attempt.step)
        policy = step if step is None or attempt.op == "action" else step.compensation
        if policy is not None and isinstance(policy.timeout, timedelta):
            return policy.timeout
        return max(attempt.deadline - self.began, timedelta(0))

    def set_timer(self, timer: Timer | None) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.timer = timer

    def is_open_to_a_probe(self, answer: Answer) -> bool:
        """Whether a probe may know better.

        Not where the result came and was too large: then the effect is known to have happened, and a probe
        would bring the same result.
        """
        if isinstance(answer, Succeeded) or answer.problem.kind is ProblemKind.TOO_LARGE:
            return False
        return self.doubtful or answer.problem.kind is not ProblemKind.REJECTED

    def timeout(self) -> Failed:
        """Return what is reported when the time is over."""
        patience = self.patience
        seconds = patience.total_seconds() if patience is not None else 0.0
        shown = f"{round(seconds, 1 if seconds >= 10 else 3):g}"  # noqa: PLR2004 - "300", not "299.998"
        message = f"no answer within {shown} s"
        return Failed(Problem(kind=ProblemKind.TIMEOUT, type="TimeoutError", message=message))


def is_definite(answer: Answer | None) -> bool:
    """Whether an answer says what happened: it succeeded, or nothing did."""
    return isinstance(answer, Succeeded) or (
        answer is not None and answer.problem.kind is ProblemKind.REJECTED
    )
