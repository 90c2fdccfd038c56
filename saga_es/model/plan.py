"""What every turn asks of a definition, worked out once, by node number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from saga_es.model.graph import Graph
from saga_es.model.keys import action_call
from saga_es.model.masks import Mask, has, mask_of
from saga_es.model.node import Node
from saga_es.model.vector import Vector, persistent

if TYPE_CHECKING:
    from saga_es.model.definition import SagaDefinition


@dataclass(frozen=True, slots=True)
class Plan:
    """Sets of nodes are bit masks of their numbers in the declared order.

    Attributes:
        index, steps: the numbers of all nodes, and of the steps alone, by name.
        signals: the nodes that wait.
        undoable: the steps that have a compensation.
        read_only: the steps that leave nothing behind.
        at_rest: every node before anything happened.
        first_steps, first_signals: the nodes that need nothing.
        needs: of each node, what it takes the results of, in that order.
        action_calls: of each node, what follows a saga's id in its action's key.
        timeouts, undo_timeouts: of the actions and compensations that say how long they may take.
    """

    saga: str
    graph: Graph
    names: Sequence[str]
    index: Mapping[str, int]
    steps: Mapping[str, int]
    signals: Mask
    undoable: Mask
    read_only: Mask
    at_rest: Vector[Node] | tuple[Node, ...]
    first_steps: Mask
    first_signals: Mask
    needs: Sequence[Sequence[int]]
    action_calls: Sequence[str]
    timeouts: Mapping[int, timedelta | None]
    undo_timeouts: Mapping[int, timedelta | None]

    @classmethod
    def of(cls, definition: SagaDefinition) -> Plan:
        graph = definition.graph
        signals = _mask(graph, (signal.name for signal in definition.signals))
        first = [number for number, needs in enumerate(graph.needs) if not needs]
        return cls(
            saga=definition.name,
            graph=graph,
            names=graph.names,
            index=graph.index,
            steps={name: number for name, number in graph.index.items() if not has(signals, number)},
            signals=signals,
            undoable=_mask(graph, (step.name for step in definition.steps if step.compensation)),
            read_only=_mask(graph, (step.name for step in definition.steps if step.read_only)),
            at_rest=persistent(Node(len(needs)) for needs in graph.needs),
            first_steps=mask_of(number for number in first if not has(signals, number)),
            first_signals=mask_of(number for number in first if has(signals, number)),
            needs=tuple([tuple([graph.index[name] for name in node.needs]) for node in definition.nodes]),
            action_calls=tuple([action_call(name) for name in graph.names]),
            timeouts=_said(graph, ((step.name, step.timeout) for step in definition.steps)),
            undo_timeouts=_said(
                graph,
                (
                    (step.name, step.compensation.timeout)
                    for step in definition.steps
                    if step.compensation is not None
                ),
            ),
        )


def _said(
    graph: Graph, timeouts: Iterable[tuple[str, timedelta | Literal["default"] | None]]
) -> Mapping[int, timedelta | None]:
    return {graph.index[name]: timeout for name, timeout in timeouts if timeout != "default"}


def _mask(graph: Graph, names: Iterable[str]) -> Mask:
    return mask_of(graph.index[name] for name in names)
