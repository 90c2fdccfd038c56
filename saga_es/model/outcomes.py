"""What an attempt's answer means."""

from __future__ import annotations

from saga_es.errors import IllegalTransition
from saga_es.model import events as ev
from saga_es.model import making
from saga_es.model.advance import park
from saga_es.model.commands import Failed, RecordOutcome, Succeeded
from saga_es.model.decision import Decision
from saga_es.model.node import Node
from saga_es.model.problem import NO_ANSWER, Problem, ProblemKind

LATE = frozenset({"unknown", "undoing", "undo_retrying", "stuck", "compensated", "forced"})
SETTLED_AS_NOT_DONE = frozenset({"rejected", "skipped", "waiting"})


def record_outcome(decision: Decision, command: RecordOutcome) -> None:
    """Record an answer once; a duplicate, or one that no longer matters, emits nothing."""
    index = decision.fold.step_index(command.step)
    node = decision.fold.nodes[index]
    tried = (
        node.attempts if command.op == "action" else node.undo_attempts if command.round == node.round else 0
    )
    is_of_now = command.op == "action" or command.round >= node.round
    if command.attempt < 1 or (command.attempt > tried and is_of_now):
        raise IllegalTransition(
            decision.fold.what(index),
            status=node.status,
            trigger=f"an outcome of {command.op} attempt {command.attempt}",
            why=f"{tried} were dispatched",
        )
    if command.op == "action":
        _action(decision, command, index, node)
    else:
        _compensation(decision, command, index, node)


def _action(decision: Decision, command: RecordOutcome, index: int, node: Node) -> None:
    is_current = node.status == "dispatched" and command.attempt == node.attempts
    is_open = node.status in ("dispatched", "retrying")
    match command.outcome:
        case Succeeded() if _was_told(command, node):
            pass  # and an operator, who knew, had the step tried anew
        case Succeeded(result) if is_open:
            decision.emit(making.step_succeeded(step=command.step, attempt=command.attempt, result=result))
        case Failed() as failed if is_current:
            _action_failed(decision, command, index, failed)
        case _ if not is_open:
            _late(decision, command, node)
        case _:
            pass  # an older attempt's failure, while a newer one is on its way


def _action_failed(decision: Decision, command: RecordOutcome, index: int, failed: Failed) -> None:
    fold, node, problem = decision.fold, decision.fold.nodes[index], failed.problem
    definite = problem.kind is ProblemKind.REJECTED
    if definite and not command.probed and (node.doubtful or command.reissued):
        definite = False  # it answers for its own call only; an earlier one may have had its effect
    elif not failed.final and problem.kind not in (ProblemKind.CANCELLED, ProblemKind.TOO_LARGE):
        retry = decision.retry_policy(index, "action")
        tried = node.attempts - node.budget_from
        if tried < retry.attempts and not fold.draining:
            due = decision.due_after(retry, tried)
            decision.emit(
                ev.StepRetryScheduled(step=command.step, attempt=node.attempts, error=problem, due=due)
            )
            return
    if definite:
        decision.emit(making.step_rejected(step=command.step, attempt=node.attempts, error=problem))
    else:
        decision.emit(ev.StepOutcomeUnknown(step=command.step, attempt=node.attempts, why=problem))
    if not fold.draining:
        park(decision, index, problem, op="action", attempt=node.attempts)


def _compensation(decision: Decision, command: RecordOutcome, index: int, node: Node) -> None:
    is_round = command.round == node.round
    undoing = is_round and node.status == "undoing"
    match command.outcome:
        case Succeeded() if _was_told(command, node):
            pass
        case Succeeded() if undoing:
            done = making.step_compensated(step=command.step, round=command.round, attempt=command.attempt)
            decision.emit(done)
        case Failed(problem) if undoing and command.attempt == node.undo_attempts:
            _compensation_failed(decision, command, index, problem)
        case Succeeded() if is_round and node.status in ("undo_retrying", "stuck"):
            _late(decision, command, node)
        case _:
            pass  # it was compensated before, or a newer attempt is on its way


def _compensation_failed(decision: Decision, command: RecordOutcome, index: int, problem: Problem) -> None:
    node = decision.fold.nodes[index]
    retry = decision.retry_policy(index, "compensation")
    tried = node.undo_attempts - node.undo_budget_from
    if tried >= retry.attempts:
        park(decision, index, problem, op="compensation", attempt=node.undo_attempts)
        return
    due = decision.due_after(retry, tried)
    decision.emit(
        ev.CompensationRetryScheduled(
            step=command.step, round=node.round, attempt=node.undo_attempts, error=problem, due=due
        )
    )


def _late(decision: Decision, command: RecordOutcome, node: Node) -> None:
    outcome = command.outcome
    if isinstance(outcome, Failed) and not _failure_tells(command, outcome, node):
        return
    if isinstance(outcome, Succeeded) and not _success_tells(command, node):
        return
    decision.emit(
        ev.LateOutcomeReceived(
            step=command.step,
            op=command.op,
            round=command.round,
            attempt=command.attempt,
            outcome=ev.LateSuccess(result=outcome.result)
            if isinstance(outcome, Succeeded)
            else outcome.problem,
        )
    )


def _was_told(command: RecordOutcome, node: Node) -> bool:
    """Whether this very success is recorded as a late one."""
    return (command.op, command.round, command.attempt) in node.late


def _success_tells(command: RecordOutcome, node: Node) -> bool:
    """Whether a late success is news."""
    if command.op == "compensation":
        return True
    known = node.has_result or any(op == "action" for op, _, _ in node.late)
    return not known and node.status in LATE | SETTLED_AS_NOT_DONE


def _failure_tells(command: RecordOutcome, failed: Failed, node: Node) -> bool:
    """Whether a late failure is news: no word of this attempt itself is recorded, and none says it happened."""
    return (
        command.op == "action"
        and node.status in LATE
        and failed.problem.kind not in NO_ANSWER
        and not (node.done or node.answered >> command.attempt & 1)
    )
