"""What an operator may do to one step, and when."""

from __future__ import annotations

import json

from pydantic import JsonValue

from saga_es.errors import IllegalTransition, SagaAlreadyEnded
from saga_es.model import events as ev
from saga_es.model.advance import park
from saga_es.model.commands import (
    ForceCompensated,
    RepairCommand,
    RetryStep,
    SkipStep,
    SupplyRejection,
    SupplyResult,
)
from saga_es.model.decision import Decision
from saga_es.model.definition import StepDefinition
from saga_es.model.fold import SATISFIED, UNDONE
from saga_es.model.lifecycle import STEP_LIFECYCLE
from saga_es.model.masks import bits, has

EVENTS: dict[type[RepairCommand], str] = {
    RetryStep: "RetryRequested",
    SupplyResult: "ResultSupplied",
    SupplyRejection: "RejectionSupplied",
    SkipStep: "StepSkipped",
    ForceCompensated: "CompensationForced",
}


def repair(decision: Decision, command: RepairCommand) -> None:
    """Emit the repair and, where it frees a parked step, SagaUnparked; nothing if it was made before."""
    index = decision.fold.step_index(command.step)
    trigger = EVENTS[type(command)]
    if _was_made(decision, command, index):
        return
    _check(decision, index, trigger)
    was_parked = decision.fold.is_parked(index)
    match command:
        case RetryStep():
            decision.emit(ev.RetryRequested(step=command.step, by=command.by, reason=command.reason))
        case SupplyResult():
            supplied = ev.ResultSupplied(
                step=command.step, by=command.by, reason=command.reason, result=command.result
            )
            decision.emit(supplied)
        case SupplyRejection():
            decision.emit(ev.RejectionSupplied(step=command.step, by=command.by, reason=command.reason))
        case SkipStep():
            decision.emit(ev.StepSkipped(step=command.step, by=command.by, reason=command.reason))
        case _:
            decision.emit(ev.CompensationForced(step=command.step, by=command.by, reason=command.reason))
    _park_or_unpark(decision, index, was_parked=was_parked)


def _park_or_unpark(decision: Decision, index: int, *, was_parked: bool) -> None:
    fold, node = decision.fold, decision.fold.nodes[index]
    if node.status != "rejected" or fold.draining:
        if was_parked:
            decision.emit(ev.SagaUnparked(step=decision.name(index)))
    elif not was_parked and node.error is not None:
        # Past the pivot there is no way back: a rejection supplied there parks the step, or leaves it parked.
        park(decision, index, node.error, op="action", attempt=node.attempts or None)


def _was_made(decision: Decision, command: RepairCommand, index: int) -> bool:
    node = decision.fold.nodes[index]
    match command:
        case SupplyResult(result=result):
            return node.status == "succeeded" and node.supplied and same_json(node.result, result)
        case SupplyRejection():
            return node.status == "rejected" and node.supplied
        case SkipStep():
            return node.status == "skipped"
        case ForceCompensated():
            return node.status == "forced"
        case _:  # a retry that was asked for and has not begun yet, for want of room
            waits = node.status == "waiting" and node.attempts > 0
            return waits or (node.status in ("retrying", "undo_retrying") and node.due is None)


def _check(decision: Decision, index: int, trigger: str) -> None:
    fold, node = decision.fold, decision.fold.nodes[index]
    reopened = fold.status == "failed" and has(fold.owed, index)
    if fold.status == "succeeded" or (fold.status == "failed" and not reopened):
        raise SagaAlreadyEnded(
            fold.saga_id, status=fold.status, asked=f"{trigger} of {decision.name(index)!r}"
        )
    if node.status not in STEP_LIFECYCLE.moves[trigger]:
        _refuse(decision, index, trigger, None)
    why = _guard(decision, index, trigger)
    if why is not None:
        _refuse(decision, index, trigger, why)


def _refuse(decision: Decision, index: int, trigger: str, why: str | None) -> None:
    status = decision.fold.nodes[index].status
    repairs = [name for name in EVENTS.values() if name != trigger and status in STEP_LIFECYCLE.moves[name]]
    allowed = [name for name in repairs if _guard(decision, index, name) is None]
    what = decision.fold.what(index)
    raise IllegalTransition(what, status=status, trigger=trigger, allowed=allowed, why=why)


def _guard(decision: Decision, index: int, trigger: str) -> str | None:
    """Say why the moment is wrong for a move that the lifecycle has, or ``None``."""
    fold, status = decision.fold, decision.fold.nodes[index].status
    going_back = fold.status == "compensating" or fold.draining
    match trigger:
        case "RetryRequested":
            if status in ("rejected", "unknown") and not fold.is_parked(index):
                return "only a step that the saga is parked on is tried anew"
        case "StepSkipped":
            if going_back:
                return "the saga is on its way back, where nothing is skipped"
            return _not_skippable(decision, index)
        case "CompensationForced":
            if fold.status not in ("compensating", "failed"):
                return "only a saga that is compensating has compensations to force"
        case _:
            return _settling_guard(decision, index, trigger, going_back=going_back)
    return None


def _settling_guard(decision: Decision, index: int, trigger: str, *, going_back: bool) -> str | None:
    fold, status, graph = decision.fold, decision.fold.nodes[index].status, decision.fold.plan.graph
    if status == "waiting" and going_back:
        return "the saga is on its way back, where waiting steps never run"
    if trigger == "ResultSupplied":
        is_undoable = has(fold.plan.undoable, index)
        if status == "rejected" and is_undoable and _undone_before(decision, index):
            return "steps that it needed are being undone already, and it would have to be undone before them"
    elif fold.pivot_dispatched and not (going_back or fold.past_pivot) and has(graph.after_pivot, index):
        # It would send the saga back although the pivot, once dispatched, may still succeed and close the way.
        return f"the pivot {decision.name(graph.pivot or 0)!r} is not settled yet; wait for it, or settle it first"
    return None


def _undone_before(decision: Decision, index: int) -> bool:
    before = decision.fold.plan.graph.before[index]
    return any(decision.fold.nodes[need].status in UNDONE for need in bits(before))


def _not_skippable(decision: Decision, index: int) -> str | None:
    name = decision.name(index)
    for dependent in decision.fold.plan.graph.dependents[index]:
        later = decision.definition.nodes[dependent]
        settled = decision.fold.nodes[dependent].status in SATISFIED
        if isinstance(later, StepDefinition) and name not in later.optional and not settled:
            return f"{later.name!r} does not accept None for its result; supply a result instead"
    return None


def same_json(one: JsonValue, other: JsonValue) -> bool:
    """Compare as JSON text does: 1, 1.0 and true are three values."""
    return one == other and json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
