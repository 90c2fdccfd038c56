"""What follows from how things stand: dispatch what is ready, drain, turn round, end."""

from __future__ import annotations

from saga_es.model import events as ev
from saga_es.model import making
from saga_es.model.decision import Decision
from saga_es.model.definition import SignalDefinition
from saga_es.model.keys import call_key
from saga_es.model.lifecycle import Ending
from saga_es.model.masks import bits, has
from saga_es.model.problem import Problem, ProblemKind
from saga_es.model.times import later


def advance(decision: Decision) -> None:
    """Emit all that is owed now, as far as time and room allow; nothing is left half-way."""
    fold = decision.fold
    if fold.status in ("pending", "running"):
        if not fold.draining:
            _go_on(decision)
        if fold.draining:  # also when a signal has just timed out
            _drain(decision)
    if fold.status in ("compensating", "failed"):
        _undo(decision)


def park(decision: Decision, index: int, reason: Problem, *, op: ev.Op | None, attempt: int | None) -> None:
    """Record that a step, or a signal (no op, no attempt), is stuck until an operator or the signal moves it."""
    round_ = None if op is None else decision.fold.nodes[index].round if op == "compensation" else 1
    decision.emit(
        ev.SagaParked(reason=reason, step=decision.name(index), op=op, round=round_, attempt=attempt)
    )


# -- forward -----------------------------------------------------------------------------------------


def _go_on(decision: Decision) -> None:
    fold = decision.fold
    if fold.to_await:
        for index in bits(fold.to_await):
            _await_signal(decision, index)
    if not fold.paused:
        if fold.dues:
            _time_out_signals(decision)
            if fold.draining:
                return
        if decision.room > 0 and (fold.ready or fold.retrying):
            _dispatch_actions(decision)
    if fold.remaining == 0:
        decision.emit(making.SAGA_SUCCEEDED)


def _await_signal(decision: Decision, index: int) -> None:
    signal = decision.definition.nodes[index]
    timeout = signal.timeout if isinstance(signal, SignalDefinition) else None
    due = None if timeout is None else later(decision.at, timeout)
    decision.emit(ev.SignalAwaited(signal=signal.name, due=due))


def _time_out_signals(decision: Decision) -> None:
    fold = decision.fold
    for due, index in fold.dues:
        if due > decision.at or fold.draining:
            return
        if has(fold.plan.signals, index):
            decision.emit(ev.SignalTimedOut(signal=decision.name(index)))
            error = fold.nodes[index].error
            if not fold.draining and error is not None:
                park(decision, index, error, op=None, attempt=None)


def _dispatch_actions(decision: Decision) -> None:
    fold = decision.fold
    for due, index in fold.dues:
        if due > decision.at or decision.room <= 0:
            break
        if has(fold.retrying, index):
            _dispatch_action(decision, index)
    for index in bits(fold.ready):
        if decision.room <= 0:
            return
        _dispatch_action(decision, index)


def _dispatch_action(decision: Decision, index: int) -> None:
    name = decision.name(index)
    decision.room -= 1
    decision.emit(
        making.step_dispatched(
            step=name,
            attempt=decision.fold.nodes[index].attempts + 1,
            key=decision.fold.saga_id + decision.fold.plan.action_calls[index],
            deadline=decision.deadline(index, "action"),
        )
    )


# -- turning round -----------------------------------------------------------------------------------


def _drain(decision: Decision) -> None:
    fold = decision.fold
    for index in bits(fold.retrying):
        node = fold.nodes[index]
        last = f"; the last answer: {node.error.in_words()}" if node.error else ""
        why = Problem(
            kind=ProblemKind.ABANDONED,
            type="Abandoned",
            message=f"waited for a retry when the saga failed{last}",
        )
        decision.emit(ev.StepOutcomeUnknown(step=decision.name(index), attempt=node.attempts, why=why))
    if not fold.open_actions and fold.cause is not None:
        decision.emit(making.saga_compensating(cause=fold.cause))


# -- back --------------------------------------------------------------------------------------------


def _undo(decision: Decision) -> None:
    fold = decision.fold
    if not fold.paused:
        _dispatch_undos(decision)
    if fold.status == "compensating" and not fold.owed and fold.cause is not None:
        standing = fold.standing()
        ending = Ending.RESIDUE if standing else Ending.FORCED if fold.forced() else Ending.COMPENSATED
        decision.emit(making.saga_failed(ending=ending, cause=fold.cause, residue=standing))


def _dispatch_undos(decision: Decision) -> None:
    fold = decision.fold
    for due, index in fold.dues:
        if due > decision.at or decision.room <= 0:
            break
        if fold.nodes[index].status == "undo_retrying":
            _dispatch_undo(decision, index)
    for index in bits(fold.undo_ready):
        if decision.room <= 0:
            return
        _dispatch_undo(decision, index)


def _dispatch_undo(decision: Decision, index: int) -> None:
    name, node = decision.name(index), decision.fold.nodes[index]
    again = node.status == "compensated"
    round_ = node.round + 1 if again else node.round
    decision.room -= 1
    decision.emit(
        making.compensation_dispatched(
            step=name,
            round=round_,
            attempt=1 if again else node.undo_attempts + 1,
            key=call_key(decision.fold.saga_id, name, "compensation", round_),
            deadline=decision.deadline(index, "compensation"),
        )
    )
