"""Writes the pages of docs/reference that are made from the code: python -m tests.docs.generating"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from saga_es import Retry, SagaError, Settings, errors
from saga_es.cli.copy import copied_value
from saga_es.cli.values import dumps, events_json, page_value, saga_value
from saga_es.model.base import Frozen
from saga_es.model.definition import (
    CompensationDefinition,
    SagaDefinition,
    SignalDefinition,
    StepDefinition,
)
from saga_es.model.events import EVENT_TYPES, Event
from saga_es.model.lifecycle import SAGA_LIFECYCLE, SIGNAL_LIFECYCLE, STEP_LIFECYCLE, UNBORN, Lifecycle
from saga_es.model.problem import ProblemKind
from saga_es.model.summary import Page
from saga_es.store.copying import Copied
from tests.docs import sample
from tests.docs.cli_page import cli
from tests.docs.markdown import attributes, in_words, summary, table
from tests.docs.sentences import FIELDS, FIELDS_OF, GUARDS, KINDS, SETTINGS_NOTES, STATES, WHEN

REFERENCE: Final = Path(__file__).parents[2] / "docs" / "reference"
NOTE: Final = "<!-- Made from the code: python -m tests.docs.generating -->"
MACHINES: Final = {"saga": SAGA_LIFECYCLE, "step": STEP_LIFECYCLE, "signal": SIGNAL_LIFECYCLE}


# -- events ------------------------------------------------------------------------------------------


def events() -> Iterator[str]:
    yield "# Events"
    yield (
        "Everything that happens to a saga is one of these events, in a stream of its own, versions 1, 2, 3 … without "
        "gaps. The names are what is stored. Each event stands in the log with its `version`, its `type`, `at` (the "
        "instant when it was decided, UTC) and `metadata`: on a PostgreSQL the `worker` that owned the saga and the "
        "`epoch`, in what it recorded; empty otherwise. Times are strings like "
        "`2026-11-24T05:00:00.123456Z`. What led to an event, and what follows from it, is told in "
        "[how a saga behaves](../explanation/semantics.md); the moves that they make in [lifecycles](lifecycle.md)."
    )
    yield from (_event(name, event) for name, event in EVENT_TYPES.items())
    yield "## Problem"
    yield (
        "Wherever something went wrong (`error`, `why`, `cause`, the `reason` of a parked saga): "
        '`{"kind": …, "type": …, "message": …}`, and `step` where it is not the event\'s own. `type` is the '
        "exception's class name, `message` its text, at most 2,000 characters of it."
    )
    yield table(["kind", "meaning"], ([f"`{kind}`", KINDS[kind]] for kind in ProblemKind))


def _event(name: str, event: type[Event]) -> str:
    rows = [
        [f"`{field}`", in_words(info.annotation), FIELDS_OF.get((name, field)) or FIELDS[field]]
        for field, info in event.model_fields.items()
    ]
    fields = table(["field", "type", "meaning"], rows) if rows else "No fields."
    moves = [
        f"{machine}: {', '.join(sources)} → {target}"
        for machine, lifecycle in MACHINES.items()
        for target, sources in _moves(lifecycle, name).items()
    ]
    moved = "Moves " + "; ".join(moves) + "." if moves else "Moves no status."
    return f"## {name}\n\n{WHEN[name]}\n\n{fields}\n\n{moved}"


def _moves(lifecycle: Lifecycle, trigger: str) -> dict[str, list[str]]:
    """Return from where an event leads, by where to."""
    found: dict[str, list[str]] = {}
    for (source, event), target in lifecycle.rows.items():
        if event == trigger:
            found.setdefault(_state(target), []).append(_state(source))
    return found


def _state(state: str) -> str:
    return "none" if state == UNBORN else state


# -- lifecycles --------------------------------------------------------------------------------------


def lifecycle() -> Iterator[str]:
    yield "# Lifecycles"
    yield (
        "A saga, its steps and its signals are three state machines, declared in `saga_es.model.lifecycle`. These "
        "tables are read from the compiled rows that the library itself moves by. What they or the guards below them "
        "do not have is [`IllegalTransition`](errors.md#illegaltransition). Beside its status a saga may be parked, "
        "paused, and asked to cancel."
    )
    for name, machine in MACHINES.items():
        yield f"## The {name}"
        yield table(["state", "meaning"], ([f"`{state}`", text] for state, text in STATES[name].items()))
        yield _drawn(machine)
        yield table(["event", "from", "to"], _rows(machine))
        yield "\n".join(f"- {guard}" for guard in GUARDS[name])


def _rows(machine: Lifecycle) -> Iterator[list[str]]:
    for trigger in EVENT_TYPES:
        for target, sources in _moves(machine, trigger).items():
            yield [f"[`{trigger}`](events.md#{trigger.lower()})", ", ".join(sources), target]


def _drawn(machine: Lifecycle) -> str:
    edges: dict[tuple[str, str], list[str]] = {}
    for (source, event), target in machine.rows.items():
        if source != target:
            edges.setdefault((source, target), []).append(event)
    lines = [
        f"  {'[*]' if source == UNBORN else source} --> {target}: {', '.join(events)}"
        for (source, target), events in edges.items()
    ]
    return "```mermaid\nstateDiagram-v2\n" + "\n".join(lines) + "\n```"


# -- errors ------------------------------------------------------------------------------------------

SAMPLES: Final[Mapping[str, object]] = {
    "saga_id": "trip-42", "step": "book_plane", "signal": "approval", "known": ["book_flight", "book_room"],
    "name": "buy package", "version": 2, "definition": "buy package", "recorded": "sell house", "status": "failed",
    "asked": "cancel", "pivot": "charge", "what": "step 'book_plane' of saga 'trip-42'", "trigger": "StepSkipped",
    "allowed": ["RetryRequested"], "why": None, "problem": "connection refused", "size": 300000, "limit": 262144,
    "unit": "bytes", "store": "sqlite:///sagas.db", "holder": "process 4711", "found": None, "expected": 2,
    "extra": "postgres", "needed_for": "a PostgreSQL store", "type": "StepSucceeded", "ending": "residue",
    "cause": "no available hotel rooms", "residue": ["charge"], "where": "buy package.charge", "message": "needs 'x'",
}  # fmt: skip
SAMPLES_OF: Final[Mapping[str, Mapping[str, object]]] = {
    "DefinitionError": {
        "message": "needs 'approve', which this saga does not have; it has book_plane, charge"
    },
    "InvalidInput": {"what": "the input of saga 'buy package'", "problem": "customer: Field required"},
    "PayloadTooLarge": {"what": "the result of 'book_plane'"},
    "UnknownDefinition": {"known": ["sell house"]},
    "EngineClosed": {"asked": "start"},
    "StoredEventError": {"problem": "attempt: Input should be a valid integer"},
    "VersionConflict": {"expected": 6},
    "CopyConflict": {"version": 7, "problem": "event 7 there is another one"},
}


def error_pages() -> Iterator[str]:
    yield "# Errors"
    yield (
        "All errors of the library are `SagaError`s, importable from `saga_es`. Each says what happened, with its "
        "values, why, and what to do; the values are fields too, for programs. `Rejected` is the one that a step of "
        "yours raises. Beside these, `outcome` and `run` raise `TimeoutError` when the saga has not ended in time, and "
        "`Attempt.current()` raises `LookupError` outside a step."
    )
    yield f"## Rejected\n\n{summary(errors.Rejected)}"
    for name, error in vars(errors).items():
        if inspect.isclass(error) and issubclass(error, SagaError) and error is not SagaError:
            yield _error(name, error)


def _error(name: str, error: type[SagaError]) -> str:
    parameters = inspect.signature(error).parameters
    samples = {**SAMPLES, **SAMPLES_OF.get(name, {})}
    by_position = [samples[it.name] for it in parameters.values() if it.kind is not it.KEYWORD_ONLY]
    by_name = {it.name: samples[it.name] for it in parameters.values() if it.kind is it.KEYWORD_ONLY}
    made = error(*by_position, **by_name)
    fields = [f"`{field}`" for field in parameters if hasattr(made, field)]
    also = [base.__name__ for base in error.__bases__ if base is not SagaError]
    kind = f" Also a `{also[0]}`." if also else ""
    return f"## {name}\n\n{summary(error)}{kind}\n\nFields: {', '.join(fields)}. For example:\n\n```text\n{made}\n```"


# -- settings ----------------------------------------------------------------------------------------


def settings() -> Iterator[str]:
    yield "# Settings"
    yield (
        "`SagaEngine(…, settings=Settings(…))`, and the same for `SagaClient`. Frozen; a value out of range is "
        "pydantic's `ValidationError`."
    )
    yield _fields_of(Settings, SETTINGS_NOTES)
    yield "## Retry"
    yield (
        summary(Retry)
        + " Without one a step has one attempt, and after the pivot what `compensation_retry` says."
    )
    yield _fields_of(Retry, {})


def _fields_of(model: type[Settings | Retry], notes: Mapping[str, str]) -> str:
    said = {"factor": "what each wait is multiplied by", "max_delay": "the longest wait", **attributes(model)}
    rows = [
        [
            f"`{name}`",
            in_words(info.annotation).replace("null", "None").replace("duration", "timedelta"),
            f"`{_default(info.default)}`",
            _noted(said[name], notes.get(name)),
        ]
        for name, info in model.model_fields.items()
    ]
    return table(["field", "type", "default", "meaning"], rows)


def _noted(text: str, note: str | None) -> str:
    return f"{text} {note}".replace("``", "`") if note else text.replace("``", "`")


def _default(value: object) -> str:
    if isinstance(value, Retry):
        return f"Retry(attempts={value.attempts})"
    return str(value)


# -- history as JSON ---------------------------------------------------------------------------------


def history_json() -> Iterator[str]:
    yield "# History as JSON"
    yield (
        "`History.to_json()`, and what `saga-es export ID` writes: all that is recorded of one saga, its plan "
        "included, so that it is read, folded, traced and drawn with no code of yours at hand. UTF-8; the same history "
        "is the same bytes; `History.from_json(text).to_json() == text`."
    )
    yield f"```json\n{sample.history().to_json()}\n```"
    yield (
        "Events stand in the log's order; their `data` is described under [events](events.md). Durations are ISO 8601 "
        '(`PT10S`). A `timeout` of `"default"`, and a `retry` of null, are the engine\'s; a `timeout` of null waits '
        "for ever. The digest covers the whole plan and is checked "
        "when a history is read. `steps` and `signals` stand in the definition's order, `order` "
        "lists both kinds as they were declared."
    )
    models: dict[str, type[Frozen]] = {
        "definition": SagaDefinition,
        "a step": StepDefinition,
        "a compensation": CompensationDefinition,
        "a signal": SignalDefinition,
        "retry": Retry,
    }
    fields = {title: [f"`{name}`" for name in model.model_fields] for title, model in models.items()}
    fields["definition"].append("`digest`")
    yield "\n".join(f"- **{title}**: {', '.join(names)}" for title, names in fields.items())


# -- all of them -------------------------------------------------------------------------------------


def cli_page() -> Iterator[str]:
    history = sample.history()
    shown = sample.summary(history)
    examples = {
        "list": dumps(page_value(Page([shown], None))),
        "show": dumps(saga_value(history, shown)),
        "events": _first_lines(events_json(history), 3),
        "copy": dumps(
            copied_value(Copied(3, 1, 24, 0), "sqlite:///sagas.db", "postgresql://shop@localhost/sagas")
        ),
    }
    return cli(examples)


def _first_lines(text: str, count: int) -> str:
    kept = text.split("\n")[:count]
    return json.dumps(json.loads("\n".join(kept).rstrip(",") + "]"), indent=1)


PAGES: Final[Mapping[str, Callable[[], Iterator[str]]]] = {
    "cli.md": cli_page,
    "errors.md": error_pages,
    "events.md": events,
    "history-json.md": history_json,
    "lifecycle.md": lifecycle,
    "settings.md": settings,
}


def page(name: str) -> str:
    return "\n\n".join((NOTE, *PAGES[name]())) + "\n"


if __name__ == "__main__":
    for name in PAGES:
        (REFERENCE / name).write_text(page(name), encoding="utf-8")
