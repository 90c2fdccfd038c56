"""One pure function decides: given how a saga stands and what is asked of it, what happens."""

from __future__ import annotations

from collections.abc import Sequence

from saga_es.errors import (
    IllegalTransition,
    PastPivot,
    SagaAlreadyEnded,
    SagaIdConflict,
    SignalConflict,
    UnknownSaga,
)
from saga_es.model import events as ev
from saga_es.model import making
from saga_es.model.advance import advance
from saga_es.model.base import record
from saga_es.model.commands import (
    CancelSaga,
    Command,
    DeliverSignal,
    PauseSaga,
    RecordOutcome,
    RepairCommand,
    ResumeSaga,
    StartSaga,
    Wake,
)
from saga_es.model.decision import Decision
from saga_es.model.definition import SagaDefinition
from saga_es.model.events import Event
from saga_es.model.evolve import apply
from saga_es.model.fold import Fold
from saga_es.model.lifecycle import SIGNAL_LIFECYCLE
from saga_es.model.outcomes import record_outcome
from saga_es.model.repair import repair, same_json
from saga_es.model.state import SagaState


@record
class Decided:
    """What a command causes: the events, and the state once they are recorded."""

    events: tuple[Event, ...]
    state: SagaState


def decide(definition: SagaDefinition, state: SagaState, command: Command) -> tuple[Event, ...]:
    """Return the events that ``command`` causes; the empty tuple if it was handled before.

    Args:
        definition: the saga's recorded plan.
        state: how the saga stands; ``SagaState.unborn(...)`` before its start.
        command: carries its own time, ``at`` (aware UTC), and the room for new attempts.

    Returns:
        Events in log order, versions ``state.version + 1`` to ``+ n``.

    Raises:
        IllegalTransition: the lifecycle, or a guard on it, has no such move.
        SagaError: another of the promised errors of the command; nothing happened.

    Source: the Decider pattern, J. Chassaing, 2021.
    """
    return decide_with_state(definition, state, command).events


def decide_with_state(definition: SagaDefinition, state: SagaState, command: Command) -> Decided:
    """Decide, and return the state that the events lead to beside them: what ``evolve`` would give.

    What the events say is validated: a command of whoever calls may hold anything.
    """
    decider = Decider(definition, state)
    decider.decide(command)
    if not decider.events:
        return Decided((), state)
    events = tuple(type(event).model_validate(vars(event)) for event in decider.events)
    fold = state.fold.copy()
    for event in events:
        apply(fold, event)
    return Decided(events, SagaState(fold))


class Decider:
    """Decides one command after another, each on top of what came of those before: ``decide`` for many.

    Their values are trusted to be what the commands' annotations say: whoever makes them has encoded them.
    """

    __slots__ = ("_before", "_decision")

    def __init__(self, definition: SagaDefinition, state: SagaState) -> None:
        self._before = state
        self._decision = Decision(definition, state)

    def decide(self, command: Command) -> int:
        """Return how many attempts begin by what the command causes, or raise as ``decide`` does: then nothing is."""
        decision = self._decision
        kept = len(decision.events)
        decision.take(command)
        try:
            _decide(decision, command)
        except BaseException:
            if decision.is_touched:
                decision.take_back(self._before, kept)
            raise
        return command.room - decision.room

    @property
    def events(self) -> Sequence[Event]:
        """All that was caused so far."""
        return self._decision.events

    @property
    def fold(self) -> Fold:
        """How the saga stands by now; it changes with the next command."""
        return self._decision.fold

    @property
    def state(self) -> SagaState:
        """How the saga stands by now; not to be asked before the last command."""
        return SagaState(self._decision.fold) if self._decision.events else self._before


def _decide(decision: Decision, command: Command) -> None:
    if decision.fold.version == 0 and not isinstance(command, StartSaga):
        raise UnknownSaga(decision.fold.saga_id)
    match command:
        case StartSaga():
            _start(decision, command)
        case RecordOutcome():
            record_outcome(decision, command)
        case DeliverSignal():
            _signal(decision, command)
        case CancelSaga():
            _cancel(decision, command)
        case PauseSaga() | ResumeSaga():
            _pause_or_resume(decision, command)
        case RepairCommand():
            repair(decision, command)
        case Wake():
            pass
        case _:
            raise TypeError(f"{type(command).__name__} is no command that decide knows")
    advance(decision)


def _start(decision: Decision, command: StartSaga) -> None:
    fold, definition = decision.fold, decision.definition
    if fold.version:
        asked = command.definition or definition.name
        if fold.definition != asked or not same_json(fold.input, command.input):
            raise SagaIdConflict(fold.saga_id, definition=asked, recorded=fold.definition)
        return
    decision.emit(
        making.saga_started(
            definition=definition.name,
            definition_version=definition.version,
            digest=definition.digest,
            input=command.input,
        )
    )


def _signal(decision: Decision, command: DeliverSignal) -> None:
    fold = decision.fold
    index = fold.signal_index(command.signal)
    node = fold.nodes[index]
    if node.status == "received" and same_json(node.result, command.payload):
        return
    if fold.status in ("succeeded", "failed"):
        raise SagaAlreadyEnded(fold.saga_id, status=fold.status, asked=f"the signal {command.signal!r}")
    if fold.draining:
        raise IllegalTransition(
            fold.what(index),
            status=node.status,
            trigger="SignalReceived",
            why="the saga is on its way back and uses no more signals",
        )
    if node.status == "received":
        raise SignalConflict(command.signal, saga_id=fold.saga_id)
    if node.status not in SIGNAL_LIFECYCLE.moves["SignalReceived"]:
        SIGNAL_LIFECYCLE.after(node.status, "SignalReceived", what=fold.what(index))
    was_parked = fold.is_parked(index)
    decision.emit(ev.SignalReceived(signal=command.signal, payload=command.payload))
    if was_parked:
        decision.emit(ev.SagaUnparked(step=command.signal))


def _cancel(decision: Decision, command: CancelSaga) -> None:
    fold = decision.fold
    if fold.status in ("succeeded", "failed"):
        raise SagaAlreadyEnded(fold.saga_id, status=fold.status, asked="cancel")
    if fold.cancel_requested:
        return
    pivot = fold.plan.graph.pivot
    if pivot is not None and not fold.draining and (fold.pivot_dispatched or fold.past_pivot):
        raise PastPivot(fold.saga_id, pivot=decision.name(pivot))
    decision.emit(ev.CancelRequested(by=command.by, reason=command.reason))


def _pause_or_resume(decision: Decision, command: PauseSaga | ResumeSaga) -> None:
    fold = decision.fold
    asked = "pause" if isinstance(command, PauseSaga) else "resume"
    if fold.status == "succeeded" or (fold.status == "failed" and not fold.owed):
        raise SagaAlreadyEnded(fold.saga_id, status=fold.status, asked=asked)
    if isinstance(command, PauseSaga) and not fold.paused:
        decision.emit(ev.SagaPaused(by=command.by, reason=command.reason))
    elif isinstance(command, ResumeSaga) and fold.paused:
        decision.emit(ev.SagaResumed(by=command.by, reason=command.reason))
