"""What the fold keeps up as it goes, worked out naively from the statuses and the graph after each event."""

from __future__ import annotations

from datetime import datetime
from functools import cache

from saga_es.model import events as ev
from saga_es.model.definition import SagaDefinition
from saga_es.model.masks import bits
from saga_es.model.state import SagaState

SATISFYING = (ev.StepSucceeded, ev.ResultSupplied, ev.StepSkipped, ev.SignalReceived)


class Oracle:
    """Listens to the events for what a status does not tell, and knows then how each set must stand."""

    def __init__(self, definition: SagaDefinition) -> None:
        self.definition = definition
        self.graph = definition.graph
        self.signals = {self.graph.index[signal.name] for signal in definition.signals}
        self.undoable = {self.graph.index[step.name] for step in definition.steps if step.compensation}
        self.done: set[int] = set()
        self.due: dict[int, datetime] = {}
        self.reopened: set[int] = set()
        self.turned = self.past_pivot = False

    def take(self, event: ev.Event, before: SagaState) -> None:
        name = getattr(event, "step", None) or getattr(event, "signal", None)
        index = self.graph.index.get(name, -1) if name else -1
        if isinstance(event, SATISFYING):
            self.done.add(index)
            self.past_pivot |= index == self.graph.pivot and before.cause is None
        if isinstance(event, ev.SagaCompensating):
            self.turned = True
            self.due.clear()
        if isinstance(event, ev.LateOutcomeReceived) and isinstance(event.outcome, ev.LateSuccess):
            node = before.fold.nodes[index]
            if event.op == "action" and node.status == "compensated" and node.undo_blind:
                self.reopened.add(index)
        if isinstance(event, ev.StepCompensated) and index in self.reopened and event.round > 1:
            self.reopened.discard(index)
        if not isinstance(event, (ev.LateOutcomeReceived, ev.SagaParked, ev.SagaUnparked)):
            self.due.pop(index, None)
        if (
            isinstance(event, (ev.StepRetryScheduled, ev.CompensationRetryScheduled, ev.SignalAwaited))
            and event.due
        ):
            self.due[index] = event.due

    def check(self, state: SagaState) -> None:
        fold, graph = state.fold, self.graph
        everything = range(len(graph.names))
        status = [fold.nodes[index].status for index in everything]
        is_released = cache(lambda n: n in self.done and all(is_released(need) for need in graph.needs[n]))
        unmet = [sum(not is_released(need) for need in graph.needs[index]) for index in everything]

        def having(*wanted: str) -> set[int]:
            return {index for index in everything if status[index] in wanted}

        forward = {index for index in having("retrying") if index not in self.due}
        free = {index for index in having("waiting") if not unmet[index]}
        expected: dict[str, object] = {
            "unmet": unmet,
            "released": [is_released(index) for index in everything],
            "remaining": sum(not is_released(index) for index in everything),
            "ready": (free - self.signals) | forward,
            "to_await": free & self.signals,
            "open_actions": having("dispatched"),
            "open_undos": having("undoing"),
            "retrying": having("retrying"),
            "dues": tuple(sorted((due, index) for index, due in self.due.items())),
            "past_pivot": self.past_pivot,
        }
        expected |= self._back(state, status)
        found: dict[str, object] = {
            "unmet": [node.unmet for node in fold.nodes],
            "released": [node.released for node in fold.nodes],
            "remaining": fold.remaining,
            "dues": fold.dues,
            "past_pivot": fold.past_pivot,
            "blockers": [node.blockers for node in fold.nodes],
        }
        for name in (
            "ready",
            "to_await",
            "open_actions",
            "open_undos",
            "retrying",
            "owed",
            "undo_ready",
            "cleared",
        ):
            found[name] = set(bits(getattr(fold, name)))
        if self.turned:  # what goes forward means nothing any more on the way back
            for name in ("unmet", "released", "remaining", "ready", "to_await", "past_pivot"):
                del found[name], expected[name]
        assert found == expected
        own_dues = {index: fold.nodes[index].due for index in everything if fold.nodes[index].due is not None}
        assert own_dues == self.due

    def _back(self, state: SagaState, status: list[str]) -> dict[str, object]:
        fold, graph = state.fold, self.graph
        everything = range(len(graph.names))
        if not self.turned:
            return {"blockers": [0] * len(everything), "owed": set(), "undo_ready": set(), "cleared": set()}
        pending = {
            index
            for index in everything
            if status[index] == "compensated"
            and fold.nodes[index].undo_blind
            and fold.nodes[index].has_result
        }
        unfinished = ("succeeded", "unknown", "undoing", "undo_retrying", "stuck")
        owed = pending | {index for index in self.undoable if status[index] in unfinished}
        holding = owed - self.reopened
        is_clear = cache(lambda n: n not in holding and all(is_clear(later) for later in graph.dependents[n]))
        blockers = [sum(not is_clear(later) for later in graph.dependents[index]) for index in everything]
        first = {index for index in owed if status[index] in ("succeeded", "unknown") and not blockers[index]}
        forward = {
            index for index in everything if status[index] == "undo_retrying" and index not in self.due
        }
        return {
            "blockers": blockers,
            "owed": owed,
            "undo_ready": first | pending | forward,
            "cleared": {index for index in everything if is_clear(index)},
        }
