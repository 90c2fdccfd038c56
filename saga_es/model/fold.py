"""The state as the fold keeps it: nodes, and the sets that say what is open, ready, due and owed."""

from __future__ import annotations

from bisect import bisect_left
from datetime import datetime
from typing import Final

from pydantic import JsonValue

from saga_es.errors import IllegalTransition, UnknownSignal, UnknownStep
from saga_es.model.lifecycle import SAGA_LIFECYCLE, SIGNAL_LIFECYCLE, STEP_LIFECYCLE, UNBORN
from saga_es.model.masks import Mask, added, bits, has, without
from saga_es.model.node import Node
from saga_es.model.plan import Plan
from saga_es.model.problem import Problem
from saga_es.model.vector import Vector, persistent, replaced

SAGA_MOVES: Final = SAGA_LIFECYCLE.moves
STEP_MOVES: Final = STEP_LIFECYCLE.moves
SATISFIED = frozenset({"succeeded", "skipped", "received"})
UNDONE = frozenset({"undoing", "undo_retrying", "compensated", "stuck", "forced"})


FIELDS: Final = (
    "cancel_requested", "cause", "cleared", "definition", "definition_version", "digest", "draining",
    "dues", "input", "left", "nodes", "open_actions", "open_undos", "owed", "parks", "past_pivot", "paused",
    "pivot_dispatched", "plan", "ready", "remaining", "retrying", "saga_id", "status", "to_await",
    "undo_ready", "version",
)  # fmt: skip


class Fold:
    """One saga's state while events are applied. Copied, then changed; its parts are persistent.

    Attributes:
        ready, to_await: steps that may be dispatched, signals that may be awaited, once there is room.
        open_actions, open_undos: attempts whose dispatch is recorded and whose answer is not.
        retrying: actions that wait for another attempt.
        owed, undo_ready: compensations not finished; those of them that may be dispatched.
        cleared: nodes, while compensating, that no longer hold back what they needed.
        left: steps of which, as recorded at the end and by what came after it, an effect may stand.
        dues: (due, node) of retries and signals, ascending.
        parks: (node, reason) of what is parked; node -1 is the whole saga.
        remaining: nodes that are not released; none are left when the saga has succeeded.
        draining: a failure or cancel is recorded: nothing new starts.
    """

    __slots__ = FIELDS

    def __init__(self, plan: Plan, saga_id: str, like: Fold | None = None) -> None:
        if like is not None:
            self._be_like(like)
            return
        self.plan = plan
        self.saga_id = saga_id
        self.version = 0
        self.status: str = UNBORN
        self.definition = plan.saga
        self.definition_version = 0
        self.digest = ""
        self.input: JsonValue = None
        self.nodes: Vector[Node] | tuple[Node, ...] | list[Node] = plan.at_rest
        self.ready = plan.first_steps
        self.to_await = plan.first_signals
        self.open_actions: Mask = 0
        self.open_undos: Mask = 0
        self.retrying: Mask = 0
        self.owed: Mask = 0
        self.undo_ready: Mask = 0
        self.cleared: Mask = 0
        self.left: Mask = 0
        self.dues: tuple[tuple[datetime, int], ...] = ()
        self.parks: tuple[tuple[int, Problem], ...] = ()
        self.remaining = len(plan.names)
        self.draining = self.paused = self.cancel_requested = False
        self.pivot_dispatched = self.past_pivot = False
        self.cause: Problem | None = None

    def _be_like(self, like: Fold) -> None:
        # Written out, as in Node: once for every decision and every single fold step.
        self.cancel_requested = like.cancel_requested
        self.cause = like.cause
        self.cleared = like.cleared
        self.definition = like.definition
        self.definition_version = like.definition_version
        self.digest = like.digest
        self.draining = like.draining
        self.dues = like.dues
        self.input = like.input
        self.left = like.left
        self.nodes = like.nodes
        self.open_actions = like.open_actions
        self.open_undos = like.open_undos
        self.owed = like.owed
        self.parks = like.parks
        self.past_pivot = like.past_pivot
        self.paused = like.paused
        self.pivot_dispatched = like.pivot_dispatched
        self.plan = like.plan
        self.ready = like.ready
        self.remaining = like.remaining
        self.retrying = like.retrying
        self.saga_id = like.saga_id
        self.status = like.status
        self.to_await = like.to_await
        self.undo_ready = like.undo_ready
        self.version = like.version

    def copy(self) -> Fold:
        return Fold(self.plan, self.saga_id, self)

    def thaw(self) -> None:
        """Take nodes of its own, to be changed in place, until ``freeze``: for a long replay."""
        self.nodes = [node.copy() for node in self.nodes]

    def freeze(self) -> None:
        """Give up changing nodes in place: from here on the fold may be shared."""
        self.nodes = persistent(self.nodes)

    @property
    def has_ended(self) -> bool:
        """Whether the outcome is recorded; a late success may still have to be undone."""
        return self.status in ("succeeded", "failed")

    # -- moves ---------------------------------------------------------------------------------------

    def move_saga(self, trigger: str) -> None:
        target = SAGA_MOVES[trigger].get(self.status)
        if target is None:
            SAGA_LIFECYCLE.after(self.status, trigger, what=f"saga {self.saga_id!r}")
        else:
            self.status = target

    def step_index(self, name: str) -> int:
        index = self.plan.steps.get(name)
        if index is None:
            raise UnknownStep(name, saga_id=self.saga_id, known=list(self.plan.steps))
        return index

    def signal_index(self, name: str) -> int:
        index = self.plan.index.get(name)
        if index is None or not has(self.plan.signals, index):
            signals = [self.plan.names[i] for i in bits(self.plan.signals)]
            raise UnknownSignal(name, saga_id=self.saga_id, known=signals)
        return index

    def moved_step(self, name: str, trigger: str) -> tuple[int, Node]:
        """Return the step's number and its node to change, moved; raise IllegalTransition without a row."""
        index = self.plan.steps.get(name)
        if index is None:
            index = self.step_index(name)
        nodes = self.nodes
        node = nodes[index]
        target = STEP_MOVES[trigger].get(node.status)
        if target is None:
            allowed = STEP_LIFECYCLE.allowed(node.status)
            raise IllegalTransition(self.what(index), status=node.status, trigger=trigger, allowed=allowed)
        if not isinstance(nodes, list):
            node = node.copy()
        node.status = target
        return index, node

    def moved_signal(self, name: str, trigger: str) -> tuple[int, Node]:
        index = self.signal_index(name)
        target = SIGNAL_LIFECYCLE.after(self.nodes[index].status, trigger, what=self.what(index))
        node = self.edit(index)
        node.status = target
        return index, node

    def what(self, index: int) -> str:
        kind = "signal" if has(self.plan.signals, index) else "step"
        return f"{kind} {self.plan.names[index]!r} of saga {self.saga_id!r}"

    def edit(self, index: int) -> Node:
        """Return a node to change and ``put`` back: a copy, unless the fold has nodes of its own."""
        nodes = self.nodes
        return nodes[index] if isinstance(nodes, list) else nodes[index].copy()

    def put(self, index: int, node: Node) -> None:
        nodes = self.nodes
        if isinstance(nodes, tuple):  # as nearly always
            self.nodes = replaced(nodes, index, node)
        elif not isinstance(nodes, list):
            self.nodes = nodes.set(index, node)

    # -- due times and parking -----------------------------------------------------------------------

    def set_due(self, index: int, node: Node, due: datetime | None) -> None:
        """Give a node (a copy) another due time, and keep the sorted list of them."""
        if node.due is not None:
            place = bisect_left(self.dues, (node.due, index))
            self.dues = self.dues[:place] + self.dues[place + 1 :]
        node.due = due
        if due is not None:
            place = bisect_left(self.dues, (due, index))
            self.dues = (*self.dues[:place], (due, index), *self.dues[place:])

    def is_parked(self, index: int) -> bool:
        return any(parked == index for parked, _ in self.parks)

    def unpark(self, index: int) -> None:
        self.parks = tuple(park for park in self.parks if park[0] != index)

    # -- going forward -------------------------------------------------------------------------------

    def settle(self, index: int) -> None:
        """The action is no longer in flight, waiting or due."""
        self.open_actions = without(self.open_actions, index)
        self.retrying = without(self.retrying, index)
        self.ready = without(self.ready, index)

    def release(self, index: int, node: Node) -> None:
        """Put a node back that is done; where nothing it needs is open, let go what waits for it, and so on."""
        self.put(index, node)
        if node.released or node.unmet:
            return
        waiting = [(index, node)]
        while waiting:
            number, node = waiting.pop()
            node.released = True  # put already, and nobody else's yet
            self.remaining -= 1
            for dependent in self.plan.graph.dependents[number]:
                met = self._met(dependent)
                if not met.unmet and met.status in SATISFIED:
                    waiting.append((dependent, met))

    def close_the_way_back(self, index: int) -> None:
        """The pivot's success does, also one that is supplied before its needs are done: its effect is there."""
        if index == self.plan.graph.pivot and not self.draining:
            self.past_pivot = True

    def _met(self, dependent: int) -> Node:
        node = self.edit(dependent)
        node.unmet -= 1
        self.put(dependent, node)
        if node.unmet == 0 and node.status == "waiting":
            if has(self.plan.signals, dependent):
                self.to_await = added(self.to_await, dependent)
            else:
                self.ready = added(self.ready, dependent)
        return node

    def drain(self, cause: Problem) -> None:
        """Nothing new starts from here on; the first failure is the cause."""
        if self.status in ("pending", "running") and not self.draining:
            self.draining = True
            self.cause = cause

    # -- going back ----------------------------------------------------------------------------------

    def begin_undo(self) -> None:
        """Work out, once, what is owed and what holds it back: the reverse of the graph."""
        graph = self.plan.graph
        for _, index in self.dues:  # signals stop waiting; no action waits for a retry any more
            node = self.edit(index)
            node.due = None
            self.put(index, node)
        self.dues = ()
        for index in reversed(graph.topological):
            blockers = sum(1 for dependent in graph.dependents[index] if not has(self.cleared, dependent))
            node = self.nodes[index]
            owes = has(self.plan.undoable, index) and node.status in ("succeeded", "unknown")
            if blockers:
                node = self.edit(index)
                node.blockers = blockers
                self.put(index, node)
            self._place(index, owes=owes, blockers=blockers)

    def owe_again(self, index: int) -> None:
        """A rejected step was given a result while compensating: its undo joins in, before those it needed."""
        if not has(self.plan.undoable, index) or has(self.owed, index):
            return
        was_cleared = has(self.cleared, index)
        self.cleared = without(self.cleared, index)
        self._place(index, owes=True, blockers=self.nodes[index].blockers)
        if was_cleared:
            self._hold_back(index)

    def _hold_back(self, index: int) -> None:
        holding = [index]
        while holding:
            for need in self.plan.graph.needs[holding.pop()]:
                node = self.edit(need)
                node.blockers += 1
                self.put(need, node)
                self.undo_ready = without(self.undo_ready, need)
                if has(self.cleared, need):
                    self.cleared = without(self.cleared, need)
                    holding.append(need)

    def _place(self, index: int, *, owes: bool, blockers: int) -> None:
        if owes:
            self.owed = added(self.owed, index)
            if not blockers:
                self.undo_ready = added(self.undo_ready, index)
        elif not blockers:
            self.cleared = added(self.cleared, index)

    def clear(self, index: int) -> None:
        """The node's undo is finished, or not owed after all: what it needed may be undone."""
        self.owed = without(self.owed, index)
        self.undo_ready = without(self.undo_ready, index)
        self.left = without(self.left, index)
        waiting = [index]
        while waiting:
            number = waiting.pop()
            if has(self.cleared, number) or self.nodes[number].blockers or has(self.owed, number):
                continue
            self.cleared = added(self.cleared, number)
            for need in self.plan.graph.needs[number]:
                node = self.edit(need)
                node.blockers -= 1
                self.put(need, node)
                if node.blockers == 0 and has(self.owed, need):
                    self.undo_ready = added(self.undo_ready, need)
                waiting.append(need)

    def standing(self) -> tuple[str, ...]:
        """Return the steps of which an effect may stand although nothing more is going to undo it."""
        names: list[str] = []
        for index, node in enumerate(self.nodes):
            if has(self.plan.signals, index) or has(self.plan.read_only, index):
                continue
            if node.stands or node.status in ("succeeded", "unknown"):
                names.append(self.plan.names[index])
        return tuple(names)

    def forced(self) -> bool:
        return any(node.status == "forced" for node in self.nodes)
