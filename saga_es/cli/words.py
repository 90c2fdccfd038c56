"""What the verbs print for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import click
from pydantic import JsonValue

from saga_es.history import History, Moment
from saga_es.history.remaining import remaining
from saga_es.history.text import printable
from saga_es.model.events import Recorded
from saga_es.model.lifecycle import Ending, SagaStatus
from saga_es.model.state import SagaState
from saga_es.model.summary import Page, SagaSummary

_MARKS: Final = {"✔": "green", "❌": "red", "❗": "yellow"}
_SHOWN_PAYLOAD: Final = 120  # characters; --json has it whole


def status_in_words(status: SagaStatus, ending: Ending | None) -> str:
    """Return ``running``, ``succeeded``, ``failed, compensated``, ``failed, residue`` or ``failed, forced``."""
    return f"failed, {ending.value}" if status is SagaStatus.FAILED and ending else status.value


def _coloured(words: str, status: SagaStatus, ending: Ending | None, *, parked: bool) -> str:
    colour = "blue"
    if parked or ending in (Ending.RESIDUE, Ending.FORCED):
        colour = "red"
    elif status is SagaStatus.SUCCEEDED:
        colour = "green"
    elif status in (SagaStatus.FAILED, SagaStatus.COMPENSATING):
        colour = "yellow"
    return click.style(words, fg=colour)


# -- list ----------------------------------------------------------------------------------------------


def listing(page: Page) -> Iterator[str]:
    """Yield the lines of ``list``."""
    if not page.items:
        yield "No sagas here."
        return
    rows = [("SAGA", "STATUS", "DEFINITION", "STARTED (UTC)", "CHANGED (UTC)"), *map(_row, page.items)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    yield click.style(_aligned(rows[0], widths), bold=True)
    for summary, row in zip(page.items, rows[1:], strict=True):
        status = row[1].ljust(widths[1])
        coloured = _coloured(status, summary.status, summary.ending, parked=summary.parked is not None)
        yield _aligned(row, widths).replace(f"  {status}  ", f"  {coloured}  ", 1)
        if summary.parked is not None:
            yield " " * (widths[0] + 2) + click.style(f"parked: {printable(summary.parked)}", fg="red")
    if page.next is not None:
        yield ""
        yield f"There are more: --after {printable(page.next)}"


def _row(summary: SagaSummary) -> tuple[str, ...]:
    return (
        printable(summary.saga_id),
        status_in_words(summary.status, summary.ending),
        f"{printable(summary.definition)} v{summary.definition_version}",
        _time(summary.started_at),
        _time(summary.changed_at),
    )


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


# -- show ----------------------------------------------------------------------------------------------


def account(history: History, summary: SagaSummary | None) -> Iterator[str]:
    """Yield the lines of ``show``: which saga, how it stands, its trace, and what remains."""
    state, definition = history.state, history.definition
    name = click.style(printable(history.saga_id), bold=True)
    yield f"{name} · {printable(definition.name)} v{definition.version}"
    parked = state.parked or (summary.parked if summary else None)
    yield _coloured(_standing(state), state.status, state.ending, parked=parked is not None)
    if parked is not None:
        yield click.style(f"parked: {printable(parked)}", fg="red")
    yield _span(history)
    yield ""
    yield from map(coloured_line, history.trace().split("\n"))
    rest = still_to_come(history)
    yield from ("", *rest) if rest else ()


def still_to_come(history: History) -> list[str]:
    """Return what remains of a saga, under a heading; nothing for one that is done."""
    rest = remaining(history.definition, history.state)
    width = max((len(printable(one.title)) for one in rest), default=0)
    lines = [f"  {printable(one.title).ljust(width)}  {printable(one.text)}" for one in rest]
    return ["Still to come:", *lines] if lines else []


def coloured_line(line: str) -> str:
    """Return a line of the trace, its mark coloured."""
    colour = _MARKS.get(line[:1])
    return click.style(line[:1], fg=colour) + line[1:] if colour else line


def _standing(state: SagaState) -> str:
    words = status_in_words(state.status, state.ending)
    match state.ending:
        case Ending.COMPENSATED:
            return f"{words}: all that it did has been undone"
        case Ending.RESIDUE:
            return f"{words}: effects may still stand of {', '.join(state.residue)}"
        case Ending.FORCED:
            forced = [name for name, step in state.steps.items() if step.status.value == "forced"]
            return f"{words}: an operator declared undone {', '.join(forced)}"
        case _:
            return words + _besides(state)


def _besides(state: SagaState) -> str:
    if not state.is_open:
        return ""
    paused = ", paused" if state.paused else ""
    return f"{paused}, cancel requested" if state.cancel_requested else paused


def _span(history: History) -> str:
    first, last = history.events[0].at, history.events[-1].at
    verb = "last changed" if history.state.is_open else "ended"
    return f"started {_time(first)}, {verb} {_time(last)} UTC ({_duration(last - first)})"


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def _duration(span: timedelta) -> str:
    seconds = span.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 100:  # noqa: PLR2004 - from here on, tenths of seconds tell nothing
        return f"{seconds:.1f} s"
    return str(timedelta(seconds=round(seconds)))


# -- events --------------------------------------------------------------------------------------------


def log(history: History) -> Iterator[str]:
    """Yield the lines of ``events``: each event with its time, and the value that it carries."""
    for moment, recorded in zip(history.timeline(), history.events, strict=True):
        yield _event(moment, recorded)


def _event(moment: Moment, recorded: Recorded) -> str:
    for field in ("input", "result", "payload"):
        if hasattr(recorded.event, field):
            return f"{moment}  {click.style(_short(getattr(recorded.event, field)), dim=True)}"
    return str(moment)


def _short(value: JsonValue) -> str:
    text = printable(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= _SHOWN_PAYLOAD else text[: _SHOWN_PAYLOAD - 1] + "…"
