"""What became of the sagas: by their histories, and by the participants' books."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from saga_es.model.events import Recorded
from saga_es.model.lifecycle import Ending
from saga_es.model.state import replay
from saga_es.store.address import open_store
from saga_es.store.application import SagaApplication
from saga_es.testing.invariants import check_history
from saga_es.testing.ledger import EFFECTS, Ledger


@dataclass
class Verdict:
    """How the sagas ended, and every broken promise in a sentence.

    Attributes:
        calls: that the participants got.
        takeovers: how often a saga went on in another epoch than before.
    """

    endings: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    takeovers: int = 0
    violations: list[str] = field(default_factory=list)


def judge(store: str, ledger: Path, saga_ids: Sequence[str]) -> Verdict:
    verdict = Verdict()
    books = Ledger(ledger)
    with closing(open_store(store)) as log:
        for saga_id in saga_ids:
            _judge_one(verdict, log, books, saga_id)
    return verdict


def epochs_of(events: Sequence[Recorded]) -> list[tuple[int, str]]:
    """Return the epochs of the events that engines recorded of a saga that was theirs, and whose each was."""
    said = [event.metadata for event in events if "epoch" in event.metadata]
    return [(int(str(it["epoch"])), str(it["worker"])) for it in said]


def check_epochs(epochs: Sequence[tuple[int, str]]) -> list[str]:
    """Return what is wrong with them: an old one after a new one, or one of two workers."""
    found = [
        f"epoch {after} after {before}" for (before, _), (after, _) in pairwise(epochs) if after < before
    ]
    workers: dict[int, set[str]] = {}
    for epoch, worker in epochs:
        workers.setdefault(epoch, set()).add(worker)
    return found + [f"epoch {epoch} is of {sorted(them)}" for epoch, them in workers.items() if len(them) > 1]


def _judge_one(verdict: Verdict, log: SagaApplication, books: Ledger, saga_id: str) -> None:
    found: list[str] = []
    stream = log.stream(saga_id)
    if not stream:
        verdict.violations.append(f"{saga_id}: was acknowledged, and is not in the log")
        return
    events = stream.events()
    started = events[0].event
    definition = log.definition(started.digest)  # type: ignore[attr-defined]  # SagaStarted, as check_history sees to
    assert definition is not None
    found += check_history(definition, events, settled=True)
    epochs = epochs_of(events)
    verdict.takeovers += max(len(set(epochs)) - 1, 0)
    found += check_epochs(epochs)
    state = replay(definition, events, saga_id=saga_id)
    if stream.replay(definition) != state:
        found.append("is folded on trust to another state")
    verdict.endings[state.ending or (f"parked, {state.status.value}" if state.parked else state.status)] += 1

    entries = books.entries(saga_id)
    verdict.calls += len(entries)
    effects = Counter(entry.key for entry in entries if entry.effect in EFFECTS)
    found += [f"{key} had {number} effects" for key, number in effects.items() if number > 1]
    stands, expected = books.standing(saga_id), frozenset(state.residue)
    if state.ending is Ending.SUCCEEDED and stands != frozenset(definition.order):
        found.append(f"succeeded, and {sorted(stands)} stand")
    if state.ending in (Ending.COMPENSATED, Ending.RESIDUE) and not stands <= expected:
        found.append(f"{sorted(stands)} stand, and {sorted(expected)} are told")
    verdict.violations += [f"{saga_id}: {text}" for text in found]
