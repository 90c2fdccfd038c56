"""A dispatcher at work on a clock of its own, with steps to run; what its tests share."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import TypeAdapter

from saga_es.authoring.bindings import Call, SagaBindings, StepBinding
from saga_es.model.commands import Failed
from saga_es.model.definition import CompensationDefinition, SagaDefinition, StepDefinition
from saga_es.model.effects import CancelAttempt, RunAttempt
from saga_es.runtime.dispatcher import Dispatcher, Report
from saga_es.runtime.threads import DaemonThreads, Threads
from saga_es.runtime.timers import Timers
from saga_es.testing.manual_clock import EPOCH, ManualClock

SECOND = timedelta(seconds=1)
TENANT: contextvars.ContextVar[str] = contextvars.ContextVar("TENANT", default="nobody")


class Airport:
    """A dispatcher with all that it needs, and what it reported."""

    def __init__(self, threads: Threads | None = None) -> None:
        self.clock = ManualClock()
        self.reports: list[Report] = []
        self.times: list[datetime] = []
        self.room: list[int] = []
        self.fatal: list[BaseException] = []
        self.in_deliver: Callable[[Report], None] = lambda report: None
        self.threads = threads or DaemonThreads()
        self.dispatcher = Dispatcher(
            timers=Timers(self.clock),
            threads=self.threads,
            deliver=self.deliver,
            on_room=lambda: self.room.append(self.dispatcher.in_flight),
            fatal=self.fatal.append,
        )
        self.gate = threading.Event()

    def deliver(self, report: Report) -> None:
        self.reports.append(report)
        self.times.append(self.clock.now())
        self.in_deliver(report)

    def run(self, attempt: RunAttempt, bindings: SagaBindings, *, reissued: bool = False) -> None:
        self.dispatcher.run(attempt, bindings, reissued=reissued)

    async def reported(self, count: int = 1) -> list[Report]:
        await self.clock.until(lambda: len(self.reports) >= count)
        return self.reports

    async def empty(self) -> None:
        await self.clock.until(lambda: self.dispatcher.in_flight == 0)

    def kinds(self) -> list[str]:
        """Return what was reported, in short."""
        words: list[str] = []
        for report in self.reports:
            outcome = report.outcome
            word = str(outcome.problem.kind) if isinstance(outcome, Failed) else f"succeeded {outcome.result}"
            words.append(" ".join([word, *["probed"] * report.probed, *["late"] * report.late]))
        return words


def at_airport(story: Callable[[Airport], Awaitable[None]], threads: Threads | None = None) -> Airport:
    async def main() -> Airport:
        airport = Airport(threads)
        await asyncio.wait_for(story(airport), 30)
        airport.gate.set()
        airport.threads.close()
        return airport

    return asyncio.run(main())


def call(function: Callable[..., Any] | None) -> Call | None:
    if function is None:
        return None
    takes_attempt = "attempt" in inspect.signature(function).parameters
    return Call(function, is_coroutine=inspect.iscoroutinefunction(function), takes_attempt=takes_attempt)


def saga(function: Callable[..., Any], *, timeout: timedelta | None = None, **options: Any) -> SagaBindings:
    undo = options.get("undo")
    step = StepDefinition(
        name="fly",
        title="fly",
        timeout=timeout or "default",
        compensation=CompensationDefinition(name="undo", title="undo") if undo else None,
    )
    action = call(function)
    assert action is not None
    bound = StepBinding(
        action=action,
        result=TypeAdapter(Any),
        needs=(),
        compensation=call(undo),
        probe=call(options.get("probe")),
        rejects=(),
    )
    definition = SagaDefinition(name="trip", steps=(step,), order=("fly",))
    return SagaBindings(definition=definition, input=TypeAdapter(str), steps={"fly": bound}, signals={})


def attempt(saga_id: str = "s", *, number: int = 1, timeout: timedelta | None = 10 * SECOND) -> RunAttempt:
    key = f"{saga_id}/fly/action/1"
    deadline = None if timeout is None else EPOCH + timeout
    return RunAttempt(saga_id, "fly", "action", 1, number, key, key, deadline, ("ann",), 0, doubtful=False)


def undoing(saga_id: str = "s", *, round_: int = 1) -> RunAttempt:
    key = f"{saga_id}/fly/compensation/{round_}"
    return replace(attempt(saga_id), op="compensation", round=round_, key=key, arguments=("ann", 7))


def cancellation(number: int = 1) -> CancelAttempt:
    return CancelAttempt("s", "fly", number)


async def hang(_: str) -> None:
    await asyncio.get_running_loop().create_future()


def failing(error: BaseException) -> Callable[[str], Coroutine[Any, Any, None]]:
    async def fail(_: str) -> None:
        raise error

    return fail


def probed_by(
    probe: Callable[..., Any], action: Callable[..., Any] | None = None, **options: Any
) -> SagaBindings:
    return saga(action or failing(ValueError("lost")), probe=probe, **options)
