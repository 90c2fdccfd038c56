from __future__ import annotations

from datetime import datetime, timedelta

from saga_es.model.commands import Command
from saga_es.model.defaults import Defaults
from saga_es.model.definition import Retry, SagaDefinition, StepDefinition
from saga_es.model.events import Event, Op
from saga_es.model.evolve import HANDLERS, apply
from saga_es.model.fold import Fold
from saga_es.model.masks import has
from saga_es.model.plan import Plan
from saga_es.model.state import SagaState
from saga_es.model.times import later


class Decision:
    """Events in the making: each is applied as it is emitted, so that the next is decided on top of it.

    Attributes:
        is_touched: the command in hand has begun to change the fold.
    """

    __slots__ = ("_due", "_timeout", "at", "command", "definition", "events", "fold", "is_touched", "room")
    at: datetime
    command: Command
    room: int

    def __init__(self, definition: SagaDefinition, state: SagaState) -> None:
        self.definition = definition
        self.fold: Fold = state.fold.copy()
        self.events: list[Event] = []
        self._timeout: timedelta | None = None
        self._due: datetime | None = None

    def take(self, command: Command) -> None:
        """Go on with another command, on top of what came of those before."""
        self.command = command
        self.at, self.room = command.at, command.room
        self.is_touched = False
        self._timeout = None

    def take_back(self, state: SagaState, kept: int) -> None:
        """Be as after the first ``kept`` events, which began at ``state``."""
        self.fold = state.fold.copy()
        del self.events[kept:]
        for event in self.events:
            apply(self.fold, event)

    def emit(self, event: Event) -> None:
        self.is_touched = True
        HANDLERS[type(event)](self.fold, event)  # apply, written out
        self.fold.version += 1
        self.events.append(event)

    def name(self, index: int) -> str:
        return self.fold.plan.names[index]

    def step(self, index: int) -> StepDefinition:
        node = self.definition.nodes[index]
        assert isinstance(node, StepDefinition)  # noqa: S101 - the callers' masks hold steps only
        return node

    def retry_policy(self, index: int, op: Op) -> Retry:
        return retry_policy(self.definition, index, op, self.command.defaults)

    def deadline(self, index: int, op: Op) -> datetime | None:
        timeout = timeout_policy(self.fold.plan, index, op, self.command.defaults)
        if timeout is None:
            return None
        if timeout is not self._timeout:  # what is dispatched together mostly shares its deadline
            self._timeout, self._due = timeout, later(self.at, timeout)
        return self._due

    def due_after(self, retry: Retry, tried: int) -> datetime:
        return later(self.at, retry.delay_after(tried, self.command.jitter))


def retry_policy(definition: SagaDefinition, index: int, op: Op, defaults: Defaults) -> Retry:
    """Return the step's own policy, or the engine's: past the pivot actions are as stubborn as compensations."""
    step = definition.nodes[index]
    assert isinstance(step, StepDefinition)  # noqa: S101 - signals are never tried
    if op == "compensation":
        own = step.compensation.retry if step.compensation else None
        return own or defaults.compensation_retry
    if step.retry is not None:
        return step.retry
    after_pivot = has(definition.graph.after_pivot, index)
    return defaults.compensation_retry if after_pivot else defaults.step_retry


def timeout_policy(plan: Plan, index: int, op: Op, defaults: Defaults) -> timedelta | None:
    """Return how long one attempt may take, or ``None`` for ever."""
    said = plan.timeouts if op == "action" else plan.undo_timeouts
    return said.get(index, defaults.step_timeout)
