"""How each event changes the fold. The lifecycles' rows decide every status; nothing else sets one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, cast

from saga_es.model import events as ev
from saga_es.model.fold import Fold
from saga_es.model.masks import added, has, without
from saga_es.model.node import Node
from saga_es.model.problem import NO_ANSWER, Problem, ProblemKind


def apply(fold: Fold, event: ev.Event) -> None:
    """Change ``fold`` by one event.

    Raises:
        IllegalTransition: a lifecycle has no row for it; the fold may be half changed then, so drop it.
        UnknownStep, UnknownSignal: the plan has no node of that name.
    """
    HANDLERS[type(event)](fold, event)
    fold.version += 1


# -- the saga ----------------------------------------------------------------------------------------


def _saga_started(fold: Fold, event: ev.SagaStarted) -> None:
    fold.move_saga("SagaStarted")
    fold.definition = event.definition
    fold.definition_version = event.definition_version
    fold.digest = event.digest
    fold.input = event.input


def _saga_succeeded(fold: Fold, _: ev.SagaSucceeded) -> None:
    fold.move_saga("SagaSucceeded")


def _saga_compensating(fold: Fold, event: ev.SagaCompensating) -> None:
    fold.move_saga("SagaCompensating")
    fold.draining = True
    fold.cause = event.cause
    fold.begin_undo()


def _saga_failed(fold: Fold, event: ev.SagaFailed) -> None:
    fold.move_saga("SagaFailed")
    fold.cause = event.cause
    for name in event.residue:
        fold.left = added(fold.left, fold.plan.index[name])


def _saga_parked(fold: Fold, event: ev.SagaParked) -> None:
    index = -1
    if event.step is not None:
        index = fold.plan.index.get(event.step, -1)
        if index < 0 or not has(fold.plan.signals, index):
            index, node = fold.moved_step(event.step, "SagaParked")
            if node.status == "stuck":
                fold.open_undos = without(fold.open_undos, index)
                node.undo_error = event.reason
                node.deadline = None
            fold.put(index, node)
    fold.parks = (*fold.parks, (index, event.reason))


def _saga_unparked(fold: Fold, event: ev.SagaUnparked) -> None:
    fold.unpark(-1 if event.step is None else fold.plan.index.get(event.step, -1))


def _cancel_requested(fold: Fold, event: ev.CancelRequested) -> None:
    fold.cancel_requested = True
    message = event.reason or f"cancelled by {event.by}"
    fold.drain(Problem(kind=ProblemKind.CANCELLED, type="CancelRequested", message=message))


def _saga_paused(fold: Fold, _: ev.SagaPaused) -> None:
    fold.paused = True


def _saga_resumed(fold: Fold, _: ev.SagaResumed) -> None:
    fold.paused = False


# -- a step's action ---------------------------------------------------------------------------------


def _step_dispatched(fold: Fold, event: ev.StepDispatched) -> None:
    fold.move_saga("StepDispatched")
    index, node = fold.moved_step(event.step, "StepDispatched")
    fold.settle(index)
    fold.open_actions = added(fold.open_actions, index)
    if node.due is not None:
        fold.set_due(index, node, None)
    node.attempts = event.attempt
    node.deadline = event.deadline
    fold.put(index, node)
    if index == fold.plan.graph.pivot:
        fold.pivot_dispatched = True


def _step_succeeded(fold: Fold, event: ev.StepSucceeded) -> None:
    index, node = fold.moved_step(event.step, "StepSucceeded")
    _succeed(fold, index, node, event)


def _succeed(fold: Fold, index: int, node: Node, event: ev.StepSucceeded | ev.ResultSupplied) -> None:
    fold.settle(index)
    if node.due is not None:
        fold.set_due(index, node, None)
    node.result = event.result
    node.has_result = node.done = True
    node.error = node.deadline = None
    if index == fold.plan.graph.pivot:
        fold.close_the_way_back(index)
    fold.release(index, node)


def _step_rejected(fold: Fold, event: ev.StepRejected) -> None:
    index, node = fold.moved_step(event.step, "StepRejected")
    _note_answer(node, event.attempt, event.error)
    node.doubtful = False  # definite for all attempts so far, else it would be unknown
    _fail(fold, index, node, event.error)


def _step_outcome_unknown(fold: Fold, event: ev.StepOutcomeUnknown) -> None:
    index, node = fold.moved_step(event.step, "StepOutcomeUnknown")
    _note_answer(node, event.attempt, event.why)
    node.doubtful = True
    graph = fold.plan.graph
    decided_by_operator = index == graph.pivot and not has(fold.plan.undoable, index)
    _fail(fold, index, node, event.why, parks=decided_by_operator)


def _note_answer(node: Node, attempt: int, problem: Problem) -> None:
    if problem.kind not in NO_ANSWER:
        node.answered |= 1 << attempt


def _fail(fold: Fold, index: int, node: Node, error: Problem, *, parks: bool = False) -> None:
    fold.settle(index)
    fold.set_due(index, node, None)
    node.error = error
    node.deadline = None
    fold.put(index, node)
    if not (parks or fold.past_pivot):
        fold.drain(error.at(fold.plan.names[index]))


def _step_retry_scheduled(fold: Fold, event: ev.StepRetryScheduled) -> None:
    index, node = fold.moved_step(event.step, "StepRetryScheduled")
    fold.settle(index)
    fold.retrying = added(fold.retrying, index)
    # A definite "it did not happen" here is a probe's, asked by the one key of all attempts: it clears them all.
    node.doubtful = event.error.kind is not ProblemKind.REJECTED
    _note_answer(node, event.attempt, event.error)
    node.error = event.error
    node.deadline = None
    fold.set_due(index, node, event.due)
    fold.put(index, node)


# -- a step's compensation ---------------------------------------------------------------------------


def _compensation_dispatched(fold: Fold, event: ev.CompensationDispatched) -> None:
    index, node = fold.moved_step(event.step, "CompensationDispatched")
    if node.undo_attempts == 0 or event.round != node.round:
        node.undo_blind = not node.has_result  # what a round's undo is given never changes within the round
        node.undo_budget_from = 0
    fold.set_due(index, node, None)
    node.round = event.round
    node.undo_attempts = event.attempt
    node.deadline = event.deadline
    fold.open_undos = added(fold.open_undos, index)
    fold.undo_ready = without(fold.undo_ready, index)
    fold.put(index, node)


def _compensation_retry_scheduled(fold: Fold, event: ev.CompensationRetryScheduled) -> None:
    index, node = fold.moved_step(event.step, "CompensationRetryScheduled")
    fold.open_undos = without(fold.open_undos, index)
    node.undo_error = event.error
    node.deadline = None
    fold.set_due(index, node, event.due)
    fold.put(index, node)


def _step_compensated(fold: Fold, event: ev.StepCompensated) -> None:
    index, node = fold.moved_step(event.step, "StepCompensated")
    fold.open_undos = without(fold.open_undos, index)
    node.undo_error = node.deadline = None
    fold.put(index, node)
    if node.undo_blind and node.has_result:
        # The result came while it was undone blindly: another round, with it.
        fold.undo_ready = added(fold.undo_ready, index)
    else:
        fold.clear(index)


def _compensation_forced(fold: Fold, event: ev.CompensationForced) -> None:
    index, node = fold.moved_step(event.step, "CompensationForced")
    fold.set_due(index, node, None)
    node.undo_error = None
    node.stands = False
    fold.put(index, node)
    fold.clear(index)


# -- signals -----------------------------------------------------------------------------------------


def _signal_awaited(fold: Fold, event: ev.SignalAwaited) -> None:
    fold.move_saga("SignalAwaited")
    index, node = fold.moved_signal(event.signal, "SignalAwaited")
    fold.to_await = without(fold.to_await, index)
    fold.set_due(index, node, event.due)
    fold.put(index, node)


def _signal_received(fold: Fold, event: ev.SignalReceived) -> None:
    index, node = fold.moved_signal(event.signal, "SignalReceived")
    fold.to_await = without(fold.to_await, index)
    fold.set_due(index, node, None)
    node.result = event.payload
    node.has_result = True
    node.error = None
    fold.release(index, node)


def _signal_timed_out(fold: Fold, event: ev.SignalTimedOut) -> None:
    index, node = fold.moved_signal(event.signal, "SignalTimedOut")
    message = f"the signal {event.signal!r} did not come in time"
    _fail(fold, index, node, Problem(kind=ProblemKind.TIMEOUT, type="SignalTimedOut", message=message))


# -- late replies and repair -------------------------------------------------------------------------


def _late_outcome(fold: Fold, event: ev.LateOutcomeReceived) -> None:
    index = fold.step_index(event.step)
    node = fold.edit(index)
    if isinstance(event.outcome, Problem):
        _note_answer(node, event.attempt, event.outcome)
    else:
        node.late = (*node.late, (event.op, event.round, event.attempt))
    if event.op == "action" and isinstance(event.outcome, ev.LateSuccess):
        if node.status in ("rejected", "skipped", "waiting"):
            node.stands = True
            if fold.status == "failed" and not has(fold.plan.read_only, index):
                fold.left = added(fold.left, index)
        elif node.status != "forced":
            node.result = event.outcome.result
            node.has_result = True
            if node.status == "compensated" and node.undo_blind:
                fold.owed = added(fold.owed, index)
                fold.undo_ready = added(fold.undo_ready, index)
    fold.put(index, node)


def _retry_requested(fold: Fold, event: ev.RetryRequested) -> None:
    before = fold.nodes[fold.step_index(event.step)].status
    index, node = fold.moved_step(event.step, "RetryRequested")
    fold.set_due(index, node, None)
    if node.status == "undo_retrying":
        if before == "stuck":
            node.undo_budget_from = node.undo_attempts
        fold.undo_ready = added(fold.undo_ready, index)
    else:
        if before != "retrying":
            node.budget_from = node.attempts
            node.error = None
            node.supplied = False
        if not node.unmet:  # a rejection can be supplied to a step whose needs are still open
            fold.ready = added(fold.ready, index)
    fold.put(index, node)


def _result_supplied(fold: Fold, event: ev.ResultSupplied) -> None:
    index, node = fold.moved_step(event.step, "ResultSupplied")
    node.supplied = True
    node.stands = False  # it now counts as a success, which is undone, or stands, like any other
    _succeed(fold, index, node, event)
    if fold.status == "compensating":
        fold.owe_again(index)


def _rejection_supplied(fold: Fold, event: ev.RejectionSupplied) -> None:
    index, node = fold.moved_step(event.step, "RejectionSupplied")
    node.supplied = True
    node.stands = node.doubtful = False  # the operator answers for every attempt so far
    node.result, node.has_result = None, False
    error = Problem(kind=ProblemKind.REJECTED, type="RejectionSupplied", message=event.reason)
    _fail(fold, index, node, error)
    if fold.status == "compensating":
        fold.clear(index)


def _step_skipped(fold: Fold, event: ev.StepSkipped) -> None:
    index, node = fold.moved_step(event.step, "StepSkipped")
    fold.settle(index)
    fold.set_due(index, node, None)
    # What an earlier attempt has done, or may have done, nobody undoes any more.
    node.stands = node.stands or node.has_result or node.doubtful
    node.result, node.has_result = None, False
    node.error = node.deadline = None
    fold.close_the_way_back(index)
    fold.release(index, node)


_HANDLERS: Final = {
    ev.SagaStarted: _saga_started,
    ev.StepDispatched: _step_dispatched,
    ev.StepSucceeded: _step_succeeded,
    ev.StepRejected: _step_rejected,
    ev.StepRetryScheduled: _step_retry_scheduled,
    ev.StepOutcomeUnknown: _step_outcome_unknown,
    ev.SagaCompensating: _saga_compensating,
    ev.CompensationDispatched: _compensation_dispatched,
    ev.CompensationRetryScheduled: _compensation_retry_scheduled,
    ev.StepCompensated: _step_compensated,
    ev.SagaSucceeded: _saga_succeeded,
    ev.SagaFailed: _saga_failed,
    ev.SagaParked: _saga_parked,
    ev.SagaUnparked: _saga_unparked,
    ev.CancelRequested: _cancel_requested,
    ev.SignalAwaited: _signal_awaited,
    ev.SignalReceived: _signal_received,
    ev.SignalTimedOut: _signal_timed_out,
    ev.LateOutcomeReceived: _late_outcome,
    ev.RetryRequested: _retry_requested,
    ev.ResultSupplied: _result_supplied,
    ev.RejectionSupplied: _rejection_supplied,
    ev.StepSkipped: _step_skipped,
    ev.CompensationForced: _compensation_forced,
    ev.SagaPaused: _saga_paused,
    ev.SagaResumed: _saga_resumed,
}
HANDLERS: Final = cast("Mapping[type[ev.Event], Callable[[Fold, ev.Event], None]]", _HANDLERS)
