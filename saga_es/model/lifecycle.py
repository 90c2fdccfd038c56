"""The machines of a saga, a step and a signal: declared with `transitions`, compiled once into lookup rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from transitions import Machine

from saga_es.errors import IllegalTransition


class SagaStatus(StrEnum):
    """The five states of a saga; parked, paused and cancel_requested stand beside them."""

    PENDING = "pending"
    RUNNING = "running"
    COMPENSATING = "compensating"
    SUCCEEDED = "succeeded"
    FAILED = "failed"

    @property
    def is_terminal(self) -> bool:
        return self in (SagaStatus.SUCCEEDED, SagaStatus.FAILED)


class StepStatus(StrEnum):
    """The states of a step: its action first, then its compensation."""

    WAITING = "waiting"
    DISPATCHED = "dispatched"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"
    UNDOING = "undoing"
    UNDO_RETRYING = "undo_retrying"
    COMPENSATED = "compensated"
    STUCK = "stuck"
    FORCED = "forced"


class SignalStatus(StrEnum):
    """The states of a signal."""

    WAITING = "waiting"
    AWAITED = "awaited"
    RECEIVED = "received"
    TIMED_OUT = "timed_out"


class Ending(StrEnum):
    """How a saga ended: whether anything of it still stands."""

    SUCCEEDED = "succeeded"
    COMPENSATED = "compensated"
    RESIDUE = "residue"
    FORCED = "forced"


UNBORN: Final = "unborn"  # the saga's state before SagaStarted; nobody sees it
KEEP: Final = None  # `transitions`' word for an internal move: the event is allowed and the state stays

Declared = Sequence[tuple[str, Sequence[str], str | None]]

SAGA: Declared = (
    ("SagaStarted", [UNBORN], "pending"),
    ("StepDispatched", ["pending"], "running"),
    ("SignalAwaited", ["pending"], "running"),
    ("StepDispatched", ["running"], KEEP),  # and in no other state: nothing starts once it compensates
    ("SignalAwaited", ["running"], KEEP),
    ("SagaSucceeded", ["pending", "running"], "succeeded"),
    ("SagaCompensating", ["pending", "running"], "compensating"),
    ("SagaFailed", ["compensating"], "failed"),
)

STEP: Declared = (
    ("StepDispatched", ["waiting", "retrying"], "dispatched"),
    ("StepRetryScheduled", ["dispatched"], "retrying"),
    ("StepSucceeded", ["dispatched", "retrying"], "succeeded"),
    ("StepRejected", ["dispatched", "retrying"], "rejected"),
    ("StepOutcomeUnknown", ["dispatched", "retrying"], "unknown"),
    ("RetryRequested", ["rejected", "unknown"], "waiting"),
    ("RetryRequested", ["retrying", "undo_retrying"], KEEP),  # a waiting retry is brought forward
    ("ResultSupplied", ["waiting", "retrying", "rejected", "unknown"], "succeeded"),
    ("RejectionSupplied", ["waiting", "retrying", "rejected", "unknown"], "rejected"),
    ("StepSkipped", ["waiting", "retrying", "rejected", "unknown"], "skipped"),
    ("CompensationDispatched", ["succeeded", "unknown", "undo_retrying", "compensated"], "undoing"),
    ("StepCompensated", ["undoing"], "compensated"),
    ("CompensationRetryScheduled", ["undoing"], "undo_retrying"),
    ("SagaParked", ["undoing"], "stuck"),
    ("SagaParked", ["rejected", "unknown"], KEEP),  # the pivot, or a step after it, waits for an operator
    ("RetryRequested", ["stuck"], "undo_retrying"),
    ("CompensationForced", ["succeeded", "unknown", "undo_retrying", "stuck"], "forced"),
)

SIGNAL: Declared = (
    ("SignalAwaited", ["waiting"], "awaited"),
    ("SignalReceived", ["waiting", "awaited", "timed_out"], "received"),
    ("SignalTimedOut", ["awaited"], "timed_out"),
)


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """One machine's rows: ``(state, event name) -> next state``; an event it never names leaves every state.

    Attributes:
        moves: the rows by event name, then state.
    """

    name: str
    moves: Mapping[str, Mapping[str, str]]

    @property
    def rows(self) -> Mapping[tuple[str, str], str]:
        return {(state, by): target for by, moves in self.moves.items() for state, target in moves.items()}

    @property
    def triggers(self) -> frozenset[str]:
        return frozenset(self.moves)

    def after(self, state: str, trigger: str, *, what: str) -> str:
        """Return the state that ``trigger`` leads to from ``state``; raise IllegalTransition without a row."""
        target = self.moves.get(trigger, {}).get(state)
        if target is None:
            raise IllegalTransition(what, status=state, trigger=trigger, allowed=self.allowed(state))
        return target

    def allowed(self, state: str) -> tuple[str, ...]:
        return tuple(sorted(trigger for trigger, moves in self.moves.items() if state in moves))


def machine(states: Sequence[str], declared: Declared, initial: str) -> Machine:
    """Return the `transitions` machine of these rows; the authority that the compiled rows are read from.

    States are plain strings: of an enum `transitions` takes the members' names, which are other words.
    """
    seen: set[tuple[str, str]] = set()
    for trigger, sources, _ in declared:
        for source in sources:
            if (source, trigger) in seen:  # `transitions` would take the first and say nothing
                raise ValueError(f"two rows for {trigger} from {source}")
            seen.add((source, trigger))
    rows = [
        {"trigger": trigger, "source": list(sources), "dest": dest} for trigger, sources, dest in declared
    ]
    return Machine(
        model=None, states=list(states), transitions=rows, initial=initial,
        auto_transitions=False, send_event=False,
    )  # fmt: skip


def compile_rows(name: str, made: Machine) -> Lifecycle:
    """Read the rows out of a machine; refuse callbacks and conditions, which a log can't replay."""
    if made.before_state_change or made.after_state_change or made.prepare_event or made.finalize_event:
        raise ValueError(f"{name}: the machine has callbacks; guards live in decide")
    if made.on_exception or made.on_final:
        raise ValueError(f"{name}: the machine has callbacks; what fails is decide's")
    rows: dict[str, dict[str, str]] = {trigger: {} for trigger in made.events}
    for trigger, event in made.events.items():
        for source, moves in event.transitions.items():
            (move,) = moves
            if move.conditions or move.prepare or move.before or move.after:
                raise ValueError(f"{name}: {trigger} from {source} has callbacks; guards live in decide")
            rows[trigger][source] = source if move.dest is None else move.dest
    for state in made.states.values():
        if state.on_enter or state.on_exit:
            raise ValueError(f"{name}: state {state.name} has callbacks; what happens next is react's")
    return Lifecycle(name, rows)


def saga_machine() -> Machine:
    return machine([UNBORN, *(status.value for status in SagaStatus)], SAGA, UNBORN)


def step_machine() -> Machine:
    return machine([status.value for status in StepStatus], STEP, StepStatus.WAITING.value)


def signal_machine() -> Machine:
    return machine([status.value for status in SignalStatus], SIGNAL, SignalStatus.WAITING.value)


SAGA_LIFECYCLE: Final = compile_rows("saga", saga_machine())
STEP_LIFECYCLE: Final = compile_rows("step", step_machine())
SIGNAL_LIFECYCLE: Final = compile_rows("signal", signal_machine())
