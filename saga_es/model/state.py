"""A saga's state, rebuilt from its events by one fold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from pydantic import JsonValue

from saga_es.model.definition import SagaDefinition
from saga_es.model.events import Event, Recorded
from saga_es.model.evolve import HANDLERS, apply
from saga_es.model.fold import FIELDS, Fold
from saga_es.model.lifecycle import Ending, SagaStatus, SignalStatus, StepStatus
from saga_es.model.masks import has
from saga_es.model.node import Node
from saga_es.model.problem import Problem
from saga_es.model.standing import ending_of, is_open, parked_of, residue_of, status_of


@dataclass(frozen=True, slots=True)
class StepState:
    """How one step, or signal, stands.

    Attributes:
        status: a ``StepStatus``, or a ``SignalStatus`` for a signal.
        attempts: how often the action was tried.
        round: of the compensation; 1 unless a late success opened another.
        result: the action's result, or the signal's payload, as JSON; ``None`` while there is none.
        error: what went wrong last and still counts, the compensation's before the action's.
        undo_attempts: how often the compensation was tried in this round.
    """

    status: StepStatus | SignalStatus
    attempts: int
    round: int
    result: JsonValue
    error: Problem | None
    undo_attempts: int


class Steps(Mapping[str, StepState]):
    """The steps and signals by name, in the definition's order; read from the fold when asked for."""

    __slots__ = ("_fold",)

    def __init__(self, fold: Fold) -> None:
        self._fold = fold

    def __getitem__(self, name: str) -> StepState:
        index = self._fold.plan.index[name]
        node = self._fold.nodes[index]
        status = SignalStatus if has(self._fold.plan.signals, index) else StepStatus
        return _view(node, status(node.status))

    def __iter__(self) -> Iterator[str]:
        return iter(self._fold.plan.names)

    def __len__(self) -> int:
        return len(self._fold.plan.names)

    def __repr__(self) -> str:
        return repr(dict(self))


def _view(node: Node, status: StepStatus | SignalStatus) -> StepState:
    error = node.undo_error or node.error
    return StepState(status, node.attempts, node.round, node.result, error, node.undo_attempts)


class SagaState:
    """How a saga stands at one version. Frozen; ``evolve`` makes the next one.

    Attributes:
        parked: the reason in words, or ``None``.
        cause: the first failure or the cancel, once there is one.
        residue: steps of which an effect may stand, in definition order, once the saga has failed.
        fold: the inside of the state, for this library's own rooms; never to be changed.
    """

    __slots__ = ("fold",)
    fold: Fold

    def __init__(self, fold: Fold) -> None:
        _SET_FOLD(self, fold)

    @classmethod
    def unborn(cls, definition: SagaDefinition, saga_id: str) -> SagaState:
        """Return the state before ``SagaStarted``: version 0, where the fold begins."""
        return cls(Fold(definition.plan, saga_id))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(
            f"a SagaState is frozen; {name} can't be set. evolve(state, event) makes a new one."
        )

    @property
    def saga_id(self) -> str:
        return self.fold.saga_id

    @property
    def version(self) -> int:
        return self.fold.version

    @property
    def status(self) -> SagaStatus:
        return status_of(self.fold)

    @property
    def ending(self) -> Ending | None:
        return ending_of(self.fold)

    @property
    def residue(self) -> tuple[str, ...]:
        return residue_of(self.fold)

    @property
    def parked(self) -> str | None:
        return parked_of(self.fold)

    @property
    def paused(self) -> bool:
        return self.fold.paused

    @property
    def cancel_requested(self) -> bool:
        return self.fold.cancel_requested

    @property
    def cause(self) -> Problem | None:
        return self.fold.cause

    @property
    def steps(self) -> Mapping[str, StepState]:
        return Steps(self.fold)

    @property
    def is_open(self) -> bool:
        """Whether anything is still to be done: not ended, or a late success is being undone."""
        return is_open(self.fold)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SagaState):
            return NotImplemented
        mine, theirs = self.fold, other.fold
        same = all(getattr(mine, name) == getattr(theirs, name) for name in FIELDS if name not in _APART)
        return same and mine.plan.names == theirs.plan.names and list(mine.nodes) == list(theirs.nodes)

    __hash__ = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType] - compared by value, results may be lists

    def __repr__(self) -> str:
        return f"SagaState({self.saga_id!r}, version={self.version}, status={self.status.value!r})"


_APART = {"nodes", "plan"}
_SET_FOLD: Final = vars(SagaState)["fold"].__set__  # in half the time of object.__setattr__


def evolve(state: SagaState, event: Event) -> SagaState:
    """Return the state after ``event``; ``state`` stays as it is.

    Costs what changed, never a copy of the whole.

    Raises:
        IllegalTransition: the lifecycle has no such move.
        UnknownStep, UnknownSignal: the plan has no node of that name.

    Source: the Decider pattern, J. Chassaing, 2021.
    """
    fold = state.fold.copy()
    apply(fold, event)
    return SagaState(fold)


def replay(
    definition: SagaDefinition,
    events: Iterable[Event | Recorded],
    upto: int | None = None,
    *,
    saga_id: str = "",
) -> SagaState:
    """Return the state after the first ``upto`` events (all of them by default), from the log alone.

    Calls no participant, opens no socket and reads no clock.

    Raises:
        IllegalTransition: the events are not a history of this definition.
    """
    fold = Fold(definition.plan, saga_id)
    fold.thaw()
    _apply_all(fold, events, upto)
    fold.freeze()
    return SagaState(fold)


def replay_onto(state: SagaState, events: Iterable[Event | Recorded], upto: int | None = None) -> SagaState:
    """Return ``state`` after more events, up to the version ``upto``."""
    fold = state.fold.copy()
    _apply_all(fold, events, upto)
    return SagaState(fold)


def _apply_all(fold: Fold, events: Iterable[Event | Recorded], upto: int | None) -> None:
    if upto is not None:
        events = islice(events, max(0, upto - fold.version))
    for item in events:
        event = item.event if isinstance(item, Recorded) else item
        HANDLERS[type(event)](fold, event)  # apply, written out
        fold.version += 1
