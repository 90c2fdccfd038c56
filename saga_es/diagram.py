"""Mermaid flowcharts of plans and of runs, from what is recorded alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Final

from saga_es.history import History
from saga_es.history.text import printable
from saga_es.model.definition import SagaDefinition, SignalDefinition, StepDefinition
from saga_es.model.state import SagaState

_ENTITIES: Final = {
    ord("#"): "#35;",
    ord('"'): "#quot;",
    ord("&"): "#amp;",
    ord("<"): "#lt;",
    ord(">"): "#gt;",
    ord("`"): "#96;",
}

_CLASSES: Final = {
    "waiting": "fill:#f1f3f5,stroke:#868e96,color:#495057",
    "open": "fill:#e7f5ff,stroke:#1971c2,color:#1864ab",
    "done": "fill:#ebfbee,stroke:#2f9e44,color:#1b5e20",
    "failed": "fill:#fff5f5,stroke:#e03131,color:#9b1c1c",
    "byhand": "fill:#fff9db,stroke:#f08c00,color:#7a4a00",
}

_ACTION_CLASS: Final[Mapping[str, str]] = {
    "waiting": "waiting",
    "dispatched": "open",
    "retrying": "open",
    "awaited": "open",
    "succeeded": "done",
    "received": "done",
    "rejected": "failed",
    "unknown": "failed",
    "timed_out": "failed",
    "skipped": "byhand",
}

_UNDO_CLASS: Final[Mapping[str, str]] = {
    "undoing": "open",
    "undo_retrying": "open",
    "compensated": "done",
    "stuck": "failed",
    "forced": "byhand",
}


def diagram(what: SagaDefinition | History) -> str:
    """Return a Mermaid flowchart: of a plan, or of a run with how each of its steps stands.

    Steps are boxes, the pivot a box with double sides, signals hexagons; an arrow leads from what is needed
    to what needs it, a dotted one from a step to its compensation. In a run each node also says its status,
    in words and as one of the classes ``waiting``, ``open``, ``done``, ``failed`` and ``byhand``. Labels are
    escaped: no title can add to the chart. No trailing newline.
    """
    definition = what if isinstance(what, SagaDefinition) else what.definition
    state = what.state if isinstance(what, History) else None
    return "\n".join(_lines(definition, state))


def _lines(definition: SagaDefinition, state: SagaState | None) -> Iterator[str]:
    title = f"{printable(definition.name)} v{definition.version}"
    if state is not None:
        ending = (
            f", {state.ending.value}" if state.ending and state.ending.value != state.status.value else ""
        )
        title = f"{printable(state.saga_id)}: {title} ({state.status.value}{ending})"
    yield from ("---", f"title: {json.dumps(title, ensure_ascii=False)}", "---", "flowchart LR")
    for number, node in enumerate(definition.nodes):
        yield from _node(number, node, state)
    if not definition.nodes:
        yield '  n0["nothing to do"]'
    index = definition.graph.index
    for number, node in enumerate(definition.nodes):
        yield from (f"  n{index[need]} --> n{number}" for need in dict.fromkeys(node.needs))
    if state is not None:
        yield from (f"  classDef {name} {style}" for name, style in _CLASSES.items())


def _node(number: int, node: StepDefinition | SignalDefinition, state: SagaState | None) -> Iterator[str]:
    left, right = ("{{", "}}") if isinstance(node, SignalDefinition) else ("[", "]")
    if isinstance(node, StepDefinition) and node.pivot:
        left, right = "[[", "]]"
    status = None if state is None else _action_status(state, node.name)
    yield f"  n{number}{left}{_label(node.title, status)}{right}{_class(_ACTION_CLASS, status)}"
    if isinstance(node, StepDefinition) and node.compensation is not None:
        undo = None if state is None else _undo_status(state, node.name)
        yield f"  u{number}({_label(node.compensation.title, undo)}){_class(_UNDO_CLASS, undo)}"
        yield f"  n{number} -. undo .-> u{number}"


def _action_status(state: SagaState, name: str) -> str:
    status = state.steps[name].status.value
    if status not in _UNDO_CLASS:
        return status
    # Its compensation has begun, so the action had either succeeded or was given up.
    return "succeeded" if state.fold.nodes[state.fold.plan.index[name]].done else "unknown"


def _undo_status(state: SagaState, name: str) -> str | None:
    status = state.steps[name].status.value
    return status if status in _UNDO_CLASS else ""


def _label(title: str, status: str | None) -> str:
    words = printable(title).translate(_ENTITIES)
    return f'"{words}<br/>{status.replace("_", " ")}"' if status else f'"{words}"'


def _class(classes: Mapping[str, str], status: str | None) -> str:
    return "" if status is None else f":::{classes.get(status, 'waiting')}"
