"""Takes a history in, event by event, and keeps what it told: the checker's own notion of a saga."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from saga_es.model import events as ev
from saga_es.model.definition import SagaDefinition, StepDefinition
from saga_es.model.lifecycle import SAGA_LIFECYCLE, SIGNAL_LIFECYCLE, STEP_LIFECYCLE, UNBORN
from saga_es.model.masks import bits
from saga_es.model.problem import Problem

DONE: Final = frozenset({"succeeded", "skipped", "received"})
UNFINISHED: Final = frozenset({"undoing", "undo_retrying", "stuck"})
OWED: Final = frozenset({"succeeded", "unknown"}) | UNFINISHED
AFTER_A_FAILURE: Final = (
    ev.CompensationDispatched, ev.CompensationRetryScheduled, ev.StepCompensated, ev.SagaParked, ev.SagaUnparked,
    ev.RetryRequested, ev.CompensationForced, ev.SagaPaused, ev.SagaResumed,
)  # fmt: skip


@dataclass(slots=True)
class Seen:
    """What the events told of one node so far."""

    name: str
    step: StepDefinition | None
    before: tuple[str, ...]
    status: str = "waiting"
    attempts: int = 0
    round: int = 1
    undo_attempts: int = 0
    done: bool = False
    known: bool = False
    blind: bool = False
    stands: bool = False
    doubtful: bool = False
    parked: bool = False
    due: datetime | None = None
    late: set[tuple[str, int, int, bool]] = field(default_factory=set[tuple[str, int, int, bool]])

    @property
    def has_undo(self) -> bool:
        return self.step is not None and self.step.compensation is not None

    @property
    def is_owed(self) -> bool:
        another_round = self.status == "compensated" and self.blind and self.known
        return self.has_undo and (self.status in OWED or another_round)

    @property
    def may_stand(self) -> bool:
        if self.step is None or self.step.read_only:
            return False
        return self.stands or self.status in ("succeeded", "unknown")


class Reader:
    def __init__(self, definition: SagaDefinition) -> None:
        self.complaints: list[str] = []
        self.definition = definition
        graph = definition.graph
        self.nodes = {
            name: Seen(name, definition.step(name), tuple(graph.names[i] for i in bits(graph.before[index])))
            for name, index in graph.index.items()
        }
        self.pivot = None if graph.pivot is None else self.nodes[graph.names[graph.pivot]]
        self.status: str = UNBORN
        self.version = 0
        self.at: datetime | None = None
        self.event: ev.Event | None = None
        self.saga_id: str | None = None
        self.cause: Problem | None = None
        self.cancelled = self.paused = self.past_pivot = False

    def say(self, text: str, *, invariant: int | None = None) -> None:
        which = f" (invariant {invariant})" if invariant else ""
        self.complaints.append(f"event {self.version}, {type(self.event).__name__}: {text}{which}")

    def expect(self, holds: bool, text: str, *, invariant: int | None = None) -> None:  # noqa: FBT001 - the assertion itself
        if not holds:
            self.say(text, invariant=invariant)

    # -- one event -----------------------------------------------------------------------------------

    def take(self, item: ev.Event | ev.Recorded) -> Seen | None:
        """Take the next event in, move what it moves, and return the node it is about, if it is about one."""
        self.version += 1
        self.event = event = item.event if isinstance(item, ev.Recorded) else item
        if isinstance(item, ev.Recorded):
            self.expect(item.version == self.version, f"recorded as version {item.version}", invariant=1)
            self.at = item.at
        self._check_after_the_end(event)
        node = self._node(event)
        self._move(event, node)
        return node

    def end_turn(self) -> None:
        """The event's own rules have been applied."""
        if self.pivot is not None and self.cause is None:
            self.past_pivot = self.pivot.done

    def _node(self, event: ev.Event) -> Seen | None:
        name: str | None = getattr(event, "step", None) or getattr(event, "signal", None)
        if name is not None and name not in self.nodes:
            self.say(f"names {name!r}, which the definition does not have")
        return None if name is None else self.nodes.get(name)

    def _move(self, event: ev.Event, node: Seen | None) -> None:
        trigger = type(event).__name__
        if trigger in SAGA_LIFECYCLE.triggers:
            self.status = self._moved(SAGA_LIFECYCLE.rows, self.status, trigger)
        elif self.status == UNBORN:
            self.say("comes before SagaStarted", invariant=1)
        if node is None:
            return
        machine = STEP_LIFECYCLE if node.step else SIGNAL_LIFECYCLE
        if trigger in machine.triggers:
            node.status = self._moved(machine.rows, node.status, trigger)
        if node.status in DONE:
            node.done = True

    def _moved(self, rows: Mapping[tuple[str, str], str], status: str, trigger: str) -> str:
        self.expect((status, trigger) in rows, f"is no move from {status}", invariant=1)
        return rows.get((status, trigger), status)

    def _check_after_the_end(self, event: ev.Event) -> None:
        if self.status not in ("succeeded", "failed") or isinstance(event, ev.LateOutcomeReceived):
            return
        is_open = any(node.is_owed or node.parked for node in self.nodes.values())
        fits = self.status == "failed" and is_open and isinstance(event, AFTER_A_FAILURE)
        self.expect(fits, f"comes after the saga has {self.status}", invariant=6)

    # -- what several events share -------------------------------------------------------------------

    def fails(self, cause: Problem) -> None:
        if self.cause is None and not self.past_pivot and self.status in ("pending", "running"):
            self.cause = cause

    def check_begins(self, node: Seen) -> None:
        self.expect(self.cause is None, f"begins {node.name!r} after a failure or cancel", invariant=7)
        open_needs = [name for name in node.before if not self.nodes[name].done]
        self.expect(not open_needs, f"begins {node.name!r} before {', '.join(open_needs)}")

    def check_call(self, step: str, op: str, round_: int, key: str) -> None:
        self.expect(not self.paused, f"dispatches {step!r} while the saga is paused")
        saga_id, *call = key.rsplit("/", 3)
        self.expect(call == [step, op, str(round_)], f"has the key {key!r}")
        self.expect(self.saga_id in (None, saga_id), f"has the key of another saga, {key!r}")
        self.saga_id = saga_id

    def check_due(self, node: Seen) -> None:
        if node.due is not None and self.at is not None:
            self.expect(self.at >= node.due, f"tries {node.name!r} again before {node.due}")
        node.due = None

    def standing(self) -> tuple[str, ...]:
        return tuple(name for name, node in self.nodes.items() if node.may_stand)

    def check_settled(self) -> None:
        if self.status == UNBORN:
            self.complaints.append("the saga was never started (invariant 12)")
            return
        open_ones = [name for name, node in self.nodes.items() if node.is_owed]
        ended = self.status == "succeeded" or (self.status == "failed" and not open_ones)
        if not ended and not any(node.parked for node in self.nodes.values()):
            self.complaints.append(
                f"the saga has come to rest {self.status} and is not parked (invariant 12)"
            )
