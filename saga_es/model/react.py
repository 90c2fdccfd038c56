"""What a recorded state asks of the world. Level-triggered: recovery is replay, then this."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import JsonValue

from saga_es.model.definition import SagaDefinition
from saga_es.model.effects import CancelAttempt, Effect, NeedRoom, RunAttempt, WakeAt
from saga_es.model.events import Op
from saga_es.model.fold import Fold
from saga_es.model.keys import call_key
from saga_es.model.masks import Mask, bits, minus
from saga_es.model.state import SagaState


@dataclass(slots=True)
class Handed:
    """What the caller has in hand already, as masks of node numbers: attempts whose answer is still to come."""

    actions: Mask = 0
    undos: Mask = 0


def react(definition: SagaDefinition, state: SagaState, handed: Handed | None = None) -> tuple[Effect, ...]:
    """Return the effects still owed: all of them, or what ``handed`` does not hold yet.

    Reads the state, not events, so that the first call after a crash and the thousandth are the same.
    """
    fold = state.fold
    effects: list[Effect] = []
    # Asked first, each by itself: of most states most of this is not owed.
    if fold.open_actions or fold.open_undos:
        _add_attempts(effects, fold, handed or Handed())
        if fold.draining and definition.on_failure == "cancel":
            effects.extend(_cancellations(fold))
    if fold.dues or fold.ready or fold.undo_ready:
        effects.extend(_waits(fold))
    return tuple(effects)


def _add_attempts(effects: list[Effect], fold: Fold, held: Handed) -> None:
    actions, undos = minus(fold.open_actions, held.actions), minus(fold.open_undos, held.undos)
    if actions:
        effects.extend([_action(fold, index) for index in bits(actions)])
    if undos:
        effects.extend([_compensation(fold, index) for index in bits(undos)])


def _action(fold: Fold, index: int) -> RunAttempt:
    arguments: list[JsonValue] = [fold.input]
    absent = 0
    for need in fold.plan.needs[index]:
        node = fold.nodes[need]
        if node.status == "skipped":
            absent |= 1 << len(arguments)
        arguments.append(node.result)
    return _attempt(fold, index, "action", tuple(arguments), absent)


def _compensation(fold: Fold, index: int) -> RunAttempt:
    node = fold.nodes[index]
    result = None if node.undo_blind else node.result
    return _attempt(fold, index, "compensation", (fold.input, result), 2 if node.undo_blind else 0)


def _attempt(fold: Fold, index: int, op: Op, arguments: tuple[JsonValue, ...], absent: int) -> RunAttempt:
    node, name = fold.nodes[index], fold.plan.names[index]
    round_ = 1 if op == "action" else node.round
    action_key = fold.saga_id + fold.plan.action_calls[index]
    return RunAttempt(
        saga_id=fold.saga_id,
        step=name,
        op=op,
        round=round_,
        number=node.attempts if op == "action" else node.undo_attempts,
        key=action_key if op == "action" else call_key(fold.saga_id, name, op, round_),
        action_key=action_key,
        deadline=node.deadline,
        arguments=arguments,
        absent=absent,
        doubtful=node.doubtful and op == "action",
    )


def _cancellations(fold: Fold) -> Iterator[CancelAttempt]:
    for index in bits(fold.open_actions):
        yield CancelAttempt(fold.saga_id, fold.plan.names[index], fold.nodes[index].attempts)


def _waits(fold: Fold) -> Iterator[WakeAt | NeedRoom]:
    if fold.paused or (fold.status == "failed" and not fold.owed) or fold.status == "succeeded":
        return
    going_back = fold.status in ("compensating", "failed")
    if fold.dues and (going_back or not fold.draining):
        yield WakeAt(fold.saga_id, fold.dues[0][0])
    if fold.undo_ready if going_back else fold.ready and not fold.draining:
        yield NeedRoom(fold.saga_id)
