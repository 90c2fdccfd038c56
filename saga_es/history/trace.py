"""A saga's story in the lines that people know: ❗ what the saga does, ✔ what worked, ❌ what did not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Final, cast

from saga_es.history.text import by_whom, printable
from saga_es.model import events as ev
from saga_es.model.definition import SagaDefinition
from saga_es.model.problem import Problem

NOTE: Final = "❗"
DONE: Final = "✔"
FAILED: Final = "❌"

Section = dict[str, list[str]]


def trace(definition: SagaDefinition, events: Iterable[ev.Recorded], residue: Collection[str] = ()) -> str:
    """Return the trace of a saga, finished or not, from recorded history alone.

    Blocks are separated by an empty line, each of them in the definition's order, so that equal runs read
    alike whatever came first in them. There is no trailing newline.

    - ``❗ begin saga``
    - what each step and signal came to: ``✔ TITLE``; ``❌ TITLE (MESSAGE)`` when it was rejected or its
      outcome is unknown; ``❌ TITLE (timed out)`` for a signal. Retries are silent, an operator's too.
      Repairs stand below what they answer: ``✔ TITLE (result supplied by WHO: WHY)``,
      ``❌ TITLE (rejection supplied by WHO: WHY)``, ``❗ TITLE (skipped by WHO: WHY)``; and so does a reply
      that came after the step was given up: ``❗ TITLE (succeeded late)``.
    - ``❗ all steps succeeded``, ``❗ step failed: reverting`` or ``❗ cancel requested: reverting``
    - what each compensation came to: ``✔ TITLE``; ``❌ TITLE (MESSAGE)`` while it is stuck;
      ``❗ TITLE (forced by WHO: WHY)``; ``(round 2)`` follows the title of a later round.
    - ``✔ end saga (success)``, ``❌ end saga (MESSAGE)`` or ``❌ end saga (MESSAGE; stands: a, b)``, the
      names of the steps of which an effect may stand
    - after the end, if a success came late: ``❗ TITLE (succeeded late; stands)`` while its effect does,
      ``❗ TITLE (succeeded late)`` once it is undone, and the compensations of its round
    - what holds an open saga: ``❗ parked: TITLE (MESSAGE)`` for each stuck step, ``❗ paused by WHO: WHY``

    Titles and messages are made printable: one line each, without control characters.

    Args:
        definition: the plan that the saga was started with.
        events: its log, or the beginning of it.
        residue: ``SagaState.residue`` after them.
    """
    story = _Story(definition, residue)
    for recorded in events:
        story.take(recorded.event)
    return "\n\n".join("\n".join(block) for block in story.blocks() if block)


class _Story:
    """The lines gathered so far, by section and node."""

    def __init__(self, definition: SagaDefinition, residue: Collection[str]) -> None:
        self._definition = definition
        self._residue = residue
        self._titles = {node.name: printable(node.title) for node in definition.nodes}
        self._undo_titles = {
            step.name: printable(step.compensation.title if step.compensation else step.title)
            for step in definition.steps
        }
        self._begun = self._reverting = False
        self._forward: Section = {}
        self._back: Section = {}
        self._turn: list[str] = []
        self._end: list[str] = []
        self._late: dict[str, None] = {}
        self._after: Section = {}
        self._rounds: dict[str, int] = {}
        self._parks: dict[str | None, str] = {}
        self._paused: str | None = None

    def take(self, event: ev.Event) -> None:
        _BY_TYPE.get(type(event), _silent)(self, event)

    def blocks(self) -> Iterator[list[str]]:
        """Yield the blocks in the order they are read; those without lines say nothing."""
        if self._begun:
            yield [f"{NOTE} begin saga"]
        yield self._in_order(self._forward)
        yield self._turn
        yield self._in_order(self._back)
        yield self._end
        yield [self._late_line(name) for name in self._definition.order if name in self._late]
        yield self._in_order(self._after)
        yield [*self._parks.values(), *([self._paused] if self._paused else [])]

    def _in_order(self, section: Section) -> list[str]:
        return [line for name in self._definition.order for line in section.get(name, ())]

    def _late_line(self, name: str) -> str:
        stands = "; stands" if name in self._residue else ""
        return f"{NOTE} {self._titles[name]} (succeeded late{stands})"

    # -- the saga ----------------------------------------------------------------------------------------

    def started(self, _: ev.SagaStarted) -> None:
        self._begun = True

    def compensating(self, event: ev.SagaCompensating) -> None:
        self._reverting = True
        why = "step failed" if event.cause.step is not None else "cancel requested"
        self._turn.append(f"{NOTE} {why}: reverting")

    def all_succeeded(self, _: ev.SagaSucceeded) -> None:
        self._turn.append(f"{NOTE} all steps succeeded")
        self._end.append(f"{DONE} end saga (success)")

    def failed(self, event: ev.SagaFailed) -> None:
        stands = f"; stands: {', '.join(event.residue)}" if event.residue else ""
        self._end.append(f"{FAILED} end saga ({_words(event.cause)}{stands})")

    def parked(self, event: ev.SagaParked) -> None:
        if event.step is None:
            self._parks[None] = f"{NOTE} parked ({_words(event.reason)})"
            return
        titles = self._undo_titles if event.op == "compensation" else self._titles
        self._parks[event.step] = f"{NOTE} parked: {titles[event.step]} ({_words(event.reason)})"
        if event.op == "compensation":
            self._undo_line(FAILED, event.step, event.round or 1, _words(event.reason))

    def unparked(self, event: ev.SagaUnparked) -> None:
        self._parks.pop(event.step, None)

    def paused(self, event: ev.SagaPaused) -> None:
        self._paused = f"{NOTE} paused by {printable(by_whom(event.by, event.reason))}"

    def resumed(self, _: ev.SagaResumed) -> None:
        self._paused = None

    # -- forward -----------------------------------------------------------------------------------------

    def succeeded(self, event: ev.StepSucceeded) -> None:
        self._line(DONE, event.step)

    def rejected(self, event: ev.StepRejected) -> None:
        self._line(FAILED, event.step, _words(event.error))

    def unknown(self, event: ev.StepOutcomeUnknown) -> None:
        self._line(FAILED, event.step, _words(event.why))

    def received(self, event: ev.SignalReceived) -> None:
        self._line(DONE, event.signal)

    def timed_out(self, event: ev.SignalTimedOut) -> None:
        self._line(FAILED, event.signal, "timed out")

    def result_supplied(self, event: ev.ResultSupplied) -> None:
        self._repair(DONE, "result supplied", event)

    def rejection_supplied(self, event: ev.RejectionSupplied) -> None:
        self._repair(FAILED, "rejection supplied", event)

    def skipped(self, event: ev.StepSkipped) -> None:
        self._repair(NOTE, "skipped", event)

    def retried(self, event: ev.RetryRequested) -> None:
        section = self._undo_section if self._reverting else self._forward
        lines = section.get(event.step, [])
        lines[:] = [line for line in lines if not line.startswith(FAILED)]

    def _repair(self, mark: str, what: str, event: ev.RepairEvent) -> None:
        self._line(mark, event.step, printable(f"{what} by {by_whom(event.by, event.reason)}"))

    def _line(self, mark: str, name: str, words: str | None = None) -> None:
        told = f" ({words})" if words is not None else ""
        self._forward.setdefault(name, []).append(f"{mark} {self._titles[name]}{told}")

    # -- back --------------------------------------------------------------------------------------------

    @property
    def _undo_section(self) -> Section:
        return self._after if self._end else self._back

    def compensated(self, event: ev.StepCompensated) -> None:
        self._undo_line(DONE, event.step, event.round)

    def undoing(self, event: ev.CompensationDispatched) -> None:
        self._rounds[event.step] = event.round

    def forced(self, event: ev.CompensationForced) -> None:
        round_ = self._rounds.get(event.step, 1)
        self._undo_line(NOTE, event.step, round_, printable(f"forced by {by_whom(event.by, event.reason)}"))

    def late(self, event: ev.LateOutcomeReceived) -> None:
        if not isinstance(event.outcome, ev.LateSuccess):
            return  # a late failure changes nothing and tells nothing new
        if event.op == "compensation":
            self._undo_line(NOTE, event.step, event.round, "succeeded late")
        elif self._end:
            self._late[event.step] = None
        else:
            self._line(NOTE, event.step, "succeeded late")

    def _undo_line(self, mark: str, name: str, round_: int, words: str | None = None) -> None:
        again = f" (round {round_})" if round_ > 1 else ""
        told = f" ({words})" if words is not None else ""
        self._undo_section.setdefault(name, []).append(f"{mark} {self._undo_titles[name]}{again}{told}")


def _words(problem: Problem) -> str:
    return printable(problem.in_words())


def _silent(_: _Story, __: ev.Event) -> None:
    """Dispatches, retries, late failures: in the timeline, not in the trace."""


_TELLERS: Final = {
    ev.SagaStarted: _Story.started,
    ev.SagaCompensating: _Story.compensating,
    ev.SagaSucceeded: _Story.all_succeeded,
    ev.SagaFailed: _Story.failed,
    ev.SagaParked: _Story.parked,
    ev.SagaUnparked: _Story.unparked,
    ev.SagaPaused: _Story.paused,
    ev.SagaResumed: _Story.resumed,
    ev.StepSucceeded: _Story.succeeded,
    ev.StepRejected: _Story.rejected,
    ev.StepOutcomeUnknown: _Story.unknown,
    ev.SignalReceived: _Story.received,
    ev.SignalTimedOut: _Story.timed_out,
    ev.ResultSupplied: _Story.result_supplied,
    ev.RejectionSupplied: _Story.rejection_supplied,
    ev.StepSkipped: _Story.skipped,
    ev.RetryRequested: _Story.retried,
    ev.CompensationDispatched: _Story.undoing,
    ev.StepCompensated: _Story.compensated,
    ev.CompensationForced: _Story.forced,
    ev.LateOutcomeReceived: _Story.late,
}
_BY_TYPE: Final = cast("Mapping[type[ev.Event], Callable[[_Story, ev.Event], None]]", _TELLERS)
