"""What became of the sagas: by their histories, by the index, and by the participants' books."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

from saga_es.model.definition import SagaDefinition
from saga_es.model.events import Recorded, SagaStarted
from saga_es.model.lifecycle import Ending
from saga_es.model.state import SagaState, replay
from saga_es.store.address import open_store
from saga_es.store.application import SagaApplication
from saga_es.testing.invariants import check_history
from saga_es.testing.ledger import EFFECTS, Ledger
from tests.chaos.epochs import Epochs

LONG = timedelta(seconds=5)


@dataclass
class Verdict:
    """How the sagas ended, and every broken promise in a sentence.

    Attributes:
        calls: that the participants got.
        cancels: how many sagas were cancelled.
        takeovers: how often a saga went on in another epoch than before.
        silences: where more than ``LONG`` passed between two events of a saga, with its history.
        histories: of the sagas that are complained of.
    """

    endings: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    cancels: int = 0
    takeovers: int = 0
    silences: list[tuple[timedelta, str]] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    histories: list[str] = field(default_factory=list)

    @property
    def told(self) -> str:
        return ", ".join(f"{number} {ending}" for ending, number in self.endings.most_common())


def judge(store: str, ledger: Path, saga_ids: Sequence[str], cancelled: Collection[str]) -> Verdict:
    verdict, books, epochs = Verdict(), Ledger(ledger), Epochs()
    with closing(open_store(store)) as log:
        for saga_id in saga_ids:
            found = _judge_one(verdict, log, books, epochs, saga_id, is_cancelled=saga_id in cancelled)
            verdict.violations += [f"{saga_id}: {text}" for text in found]
    verdict.takeovers = epochs.takeovers
    verdict.violations += epochs.complaints_of_shards(store)
    return verdict


def _judge_one(
    verdict: Verdict,
    log: SagaApplication,
    books: Ledger,
    epochs: Epochs,
    saga_id: str,
    *,
    is_cancelled: bool,
) -> list[str]:
    stream = log.stream(saga_id)
    if not stream:
        return ["was acknowledged, and is not in the log"]
    events = stream.events()
    definition = plan_of(log, events)
    found = check_history(definition, events, settled=True) + epochs.complaints(definition, saga_id, events)
    state = replay(definition, events, saga_id=saga_id)
    if stream.replay(definition) != state:
        found.append("is folded on trust to another state")
    if is_cancelled and not any(event.type == "CancelRequested" for event in events):
        found.append("its cancel was acknowledged, and is not in the log")
    _count(verdict, saga_id, events, state)
    found += _check_index(log, state) + _check_books(verdict, books, definition, state)
    if found:
        verdict.histories.append(history(saga_id, events))
    return found


def history(saga_id: str, events: Sequence[Recorded]) -> str:
    """Return a saga's events, a line each: when, what, and by whom in which epoch."""
    lines = [
        f"  {it.version:3} {it.at:%H:%M:%S.%f} {it.type} {it.event.model_dump(mode='json')} {dict(it.metadata)}"
        for it in events
    ]
    return "\n".join([saga_id, *lines])


def plan_of(log: SagaApplication, events: Sequence[Recorded]) -> SagaDefinition:
    started = events[0].event
    assert isinstance(started, SagaStarted)
    definition = log.definition(started.digest)
    assert definition is not None
    return definition


def _count(verdict: Verdict, saga_id: str, events: Sequence[Recorded], state: SagaState) -> None:
    verdict.endings[state.ending or (f"parked, {state.status.value}" if state.parked else state.status)] += 1
    verdict.cancels += any(event.type == "CancelRequested" for event in events)
    longest = max((after.at - before.at for before, after in pairwise(events)), default=timedelta(0))
    if longest > LONG:
        verdict.silences.append((longest, history(saga_id, events)))


def _check_index(log: SagaApplication, state: SagaState) -> list[str]:
    """Return what the index shows otherwise than the log."""
    row = log.summary(state.saga_id)
    shown = None if row is None else (row.status, row.ending, row.parked)
    recorded = (state.status, state.ending, state.parked)
    return [] if shown == recorded else [f"the index shows {shown}, the log {recorded}"]


def _check_books(verdict: Verdict, books: Ledger, definition: SagaDefinition, state: SagaState) -> list[str]:
    entries = books.entries(state.saga_id)
    verdict.calls += len(entries)
    effects = Counter(entry.key for entry in entries if entry.effect in EFFECTS)
    found = [f"{key} had {number} effects" for key, number in effects.items() if number > 1]
    stands, expected = books.standing(state.saga_id), frozenset(state.residue)
    if state.ending is Ending.SUCCEEDED and stands != frozenset(definition.order):
        found.append(f"succeeded, and {sorted(stands)} stand")
    if state.ending in (Ending.COMPENSATED, Ending.RESIDUE) and not stands <= expected:
        found.append(f"{sorted(stands)} stand, and {sorted(expected)} are told")
    return found
