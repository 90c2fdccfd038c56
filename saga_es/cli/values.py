"""What the verbs' ``--json`` print: documented shapes, on which scripts may rely."""

from __future__ import annotations

import json
from typing import Final

from pydantic import JsonValue

from saga_es.history import History
from saga_es.history.document import event_value
from saga_es.history.remaining import remaining
from saga_es.history.text import instant
from saga_es.model.definition import SignalDefinition
from saga_es.model.problem import Problem
from saga_es.model.summary import Page, SagaSummary

OBEYED: Final = {
    code: f"\\u{code:04x}"
    for code in (*range(0x7F, 0xA0), 0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
}


def dumps(value: JsonValue) -> str:
    return safe(json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1))


def safe(text: str) -> str:
    r"""Return JSON with ``\uXXXX`` for what a terminal would obey, or what turns the reading direction.

    It is the same JSON: JSON's own rules escape no more than U+0000 to U+001F.
    """
    return text.translate(OBEYED)


def page_value(page: Page) -> JsonValue:
    """``list --json``: ``{"items": [SUMMARY…], "next": CURSOR or null}``."""
    return {"items": [summary_value(summary) for summary in page.items], "next": page.next}


def summary_value(summary: SagaSummary) -> dict[str, JsonValue]:
    """Return the fields of ``SagaSummary`` by their names, times as in a history."""
    return {
        "saga_id": summary.saga_id,
        "definition": summary.definition,
        "definition_version": summary.definition_version,
        "status": summary.status.value,
        "ending": summary.ending.value if summary.ending else None,
        "parked": summary.parked,
        "started_at": instant(summary.started_at),
        "changed_at": instant(summary.changed_at),
    }


def saga_value(history: History, summary: SagaSummary | None) -> JsonValue:
    """``show --json``: the summary's fields, then the state's, the steps, what remains, and the trace."""
    state, events = history.state, history.events
    return {
        "saga_id": history.saga_id,
        "definition": history.definition.name,
        "definition_version": history.definition.version,
        "status": state.status.value,
        "ending": state.ending.value if state.ending else None,
        "parked": state.parked or (summary.parked if summary else None),
        "started_at": instant(events[0].at),
        "changed_at": instant(summary.changed_at if summary else events[-1].at),
        "version": state.version,
        "paused": state.paused,
        "cancel_requested": state.cancel_requested,
        "cause": problem_value(state.cause),
        "residue": list(state.residue),
        "steps": [_step_value(history, name) for name in history.definition.order],
        "remaining": [
            {"name": one.name, "title": one.title, "op": one.op, "status": one.status, "text": one.text}
            for one in remaining(history.definition, state)
        ],
        "trace": history.trace(),
    }


def _step_value(history: History, name: str) -> JsonValue:
    node = history.definition.nodes[history.definition.graph.index[name]]
    step = history.state.steps[name]
    return {
        "name": name,
        "title": node.title,
        "kind": "signal" if isinstance(node, SignalDefinition) else "step",
        "status": step.status.value,
        "attempts": step.attempts,
        "round": step.round,
        "result": step.result,
        "error": problem_value(step.error),
    }


def problem_value(problem: Problem | None) -> JsonValue:
    return None if problem is None else problem.model_dump(mode="json")


def events_json(history: History) -> str:
    """``events --json``: the events as they stand in a history, an array with one of them a line."""
    lines = (json.dumps(event_value(recorded), ensure_ascii=False) for recorded in history.events)
    return safe("[\n " + ",\n ".join(lines) + "\n]")
