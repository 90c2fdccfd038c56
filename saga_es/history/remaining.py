"""What a saga still has before it, in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from saga_es.history.text import instant, printable
from saga_es.model.definition import SagaDefinition, SignalDefinition
from saga_es.model.lifecycle import SagaStatus
from saga_es.model.masks import bits, has
from saga_es.model.node import Node
from saga_es.model.problem import Problem
from saga_es.model.state import SagaState


@dataclass(frozen=True, slots=True)
class Remaining:
    """Something that is still to happen before the saga ends.

    Attributes:
        name: the step's or signal's.
        title: for people; the compensation's where ``op`` is that.
        op: what remains of it.
        status: as in the state, of the step or signal.
        text: how it stands, one line.
    """

    name: str
    title: str
    op: Literal["action", "compensation", "signal"]
    status: str
    text: str


def remaining(definition: SagaDefinition, state: SagaState) -> tuple[Remaining, ...]:
    """Return what remains, in the definition's order; the empty tuple for a saga that is done.

    Going forward that is every step and signal not settled yet; once the saga drains, the attempts still in
    flight and the compensations that will follow; once it compensates, the compensations not finished.
    """
    if not state.is_open:
        return ()
    if state.status in (SagaStatus.PENDING, SagaStatus.RUNNING):
        found = _draining(definition, state) if state.fold.draining else _forward(definition, state)
    else:
        found = _back(definition, state)
    return tuple(found)


def _forward(definition: SagaDefinition, state: SagaState) -> Iterator[Remaining]:
    fold = state.fold
    for index, node in enumerate(fold.nodes):
        if node.status in ("succeeded", "received", "skipped"):
            continue
        planned = definition.nodes[index]
        op: Literal["action", "signal"] = "signal" if isinstance(planned, SignalDefinition) else "action"
        yield Remaining(
            planned.name, planned.title, op, node.status, _action_in_words(definition, state, index, node)
        )


def _draining(definition: SagaDefinition, state: SagaState) -> Iterator[Remaining]:
    fold = state.fold
    for index, node in enumerate(fold.nodes):
        planned = definition.nodes[index]
        if has(fold.open_actions, index):
            text = f"attempt {node.attempts} in flight; its answer is recorded before the saga turns round"
            yield Remaining(planned.name, planned.title, "action", node.status, text)
        elif has(fold.plan.undoable, index) and node.status in ("succeeded", "unknown"):
            text = "to be undone once nothing is in flight"
            yield Remaining(planned.name, _undo_title(definition, index), "compensation", node.status, text)


def _back(definition: SagaDefinition, state: SagaState) -> Iterator[Remaining]:
    for index in bits(state.fold.owed):
        node = state.fold.nodes[index]
        title, text = _undo_title(definition, index), _undo_in_words(state, node)
        yield Remaining(definition.nodes[index].name, title, "compensation", node.status, text)


def _undo_title(definition: SagaDefinition, index: int) -> str:
    node = definition.nodes[index]
    if isinstance(node, SignalDefinition) or node.compensation is None:
        return node.title
    return node.compensation.title


def _action_in_words(definition: SagaDefinition, state: SagaState, index: int, node: Node) -> str:
    match node.status:
        case "dispatched":
            return f"attempt {node.attempts} in flight"
        case "retrying":
            return f"attempt {node.attempts} failed{_why(node.error)}; {_next(node.due)}"
        case "awaited":
            return f"awaited until {instant(node.due)}" if node.due else "awaited"
        case "waiting":
            unmet = [
                need
                for need in definition.nodes[index].needs
                if not state.fold.nodes[state.fold.plan.index[need]].released
            ]
            return f"waits for {', '.join(dict.fromkeys(unmet))}" if unmet else _ready(state)
        case _:
            return f"parked{_why(node.error)}"


def _undo_in_words(state: SagaState, node: Node) -> str:
    match node.status:
        case "undoing":
            return f"attempt {node.undo_attempts} in flight"
        case "undo_retrying":
            return f"attempt {node.undo_attempts} failed{_why(node.undo_error)}; {_next(node.due)}"
        case "stuck":
            return f"stuck after attempt {node.undo_attempts}{_why(node.undo_error)}"
        case _:
            return "waits for what came after it to be undone" if node.blockers else _ready(state)


def _ready(state: SagaState) -> str:
    return "ready, and the saga is paused" if state.paused else "ready, waits for room"


def _why(error: Problem | None) -> str:
    return f" ({printable(error.in_words())})" if error else ""


def _next(due: datetime | None) -> str:
    return f"the next follows at {instant(due)}" if due else "the next follows"
