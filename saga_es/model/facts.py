"""The fold of facts as they were stored, without building their events: for a log that is trusted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Final, cast

from pydantic import JsonValue

from saga_es.model import events as ev
from saga_es.model.base import Fields
from saga_es.model.definition import SagaDefinition
from saga_es.model.evolve import HANDLERS, apply
from saga_es.model.fold import Fold
from saga_es.model.masks import bits, union
from saga_es.model.state import SagaState

Fact = tuple[str, dict[str, JsonValue]]
"""An event's stored name, and its fields as JSON says them, in the newest schema."""


Handler = Callable[[Fold, ev.Event], None]

# What nearly all of a log is. The fields of these are as JSON has them, but for a deadline.
AS_STORED: Final[Mapping[str, Handler]] = {
    kind.__name__: HANDLERS[kind]
    for kind in (
        ev.SagaStarted, ev.StepDispatched, ev.StepSucceeded, ev.CompensationDispatched, ev.StepCompensated,
        ev.SagaSucceeded, ev.SignalReceived,
    )
}  # fmt: skip


def replay_facts(definition: SagaDefinition, facts: Iterable[Fact], *, saga_id: str) -> SagaState:
    """Return the state after all of ``facts``, as ``replay`` does after their events.

    They are trusted to be what this library wrote: what is wrong in them may raise anything, or nothing.
    """
    fold = Fold(definition.plan, saga_id)
    fold.thaw()
    _apply_all(fold, facts)
    fold.freeze()
    return SagaState(fold)


def replay_facts_onto(state: SagaState, facts: Iterable[Fact]) -> SagaState:
    """Return ``state`` after more facts, trusted as in ``replay_facts``."""
    fold = state.fold.copy()
    _apply_all(fold, facts)
    return SagaState(fold)


def _apply_all(fold: Fold, facts: Iterable[Fact]) -> None:
    # All that the fold asks of an event; one for all, since no handler keeps more than its fields.
    said = Fields()
    event = cast("ev.Event", said)
    for name, fields in facts:
        handle = AS_STORED.get(name)
        if handle is None:
            apply(fold, ev.EVENT_TYPES[name].model_validate(fields))
            continue
        said.__dict__ = fields
        handle(fold, event)
        fold.version += 1
    # Instants are made of those deadlines alone that still stand.
    for index in bits(union(fold.open_actions, fold.open_undos)):
        node = fold.nodes[index]
        deadline = cast("object", node.deadline)
        if isinstance(deadline, str):
            node = fold.edit(index)
            node.deadline = datetime.fromisoformat(deadline)
            fold.put(index, node)
