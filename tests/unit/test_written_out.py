"""Records whose constructor is written out are the dataclasses that they say to be, compiled or not."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest

from saga_es.model.commands import Failed, RecordOutcome, StartSaga, Succeeded, Wake
from saga_es.model.defaults import Defaults
from saga_es.model.effects import RunAttempt
from saga_es.model.lifecycle import SagaStatus
from saga_es.model.problem import Problem, ProblemKind
from saga_es.model.summary import SagaSummary
from saga_es.store.append import Append
from saga_es.store.index import IndexRow
from saga_es.store.shards import Shard

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
PROBLEM = Problem(kind=ProblemKind.REJECTED, type="Rejected", message="no room")
SUMMARY = SagaSummary("s", "buy", 1, SagaStatus.RUNNING, None, None, NOON, NOON)
SHARD = Shard("buy/1", 7)
ANSWER: dict[str, Any] = {
    "at": NOON, "room": 3, "jitter": 0.25, "defaults": Defaults(step_timeout=None), "step": "fly",
    "op": "action", "round": 1, "attempt": 2, "outcome": Failed(PROBLEM, final=True), "reissued": True, "probed": True,
}  # fmt: skip
RECORDS: list[tuple[type, dict[str, Any]]] = [
    (Succeeded, {"result": "seat 12"}),
    (Failed, {"problem": PROBLEM, "final": True}),
    (RecordOutcome, ANSWER),
    (Wake, {"at": NOON, "room": 1, "jitter": 0.75, "defaults": Defaults()}),
    (StartSaga, {"at": NOON, "room": 1, "jitter": 0.75, "defaults": Defaults(), "input": 7, "definition": "buy"}),
    (
        RunAttempt,
        {
            "saga_id": "s", "step": "fly", "op": "action", "round": 1, "number": 2, "key": "s/fly/action/1",
            "action_key": "s/fly/action/1", "deadline": NOON, "arguments": ("ann", 7), "absent": 0, "doubtful": True,
        },
    ),
    (
        Append,
        {
            "saga_id": "s", "expected_version": 0, "events": (("s", 1, "SagaStarted", b"{}"),), "summary": SUMMARY,
            "is_open": True, "shard": SHARD, "epoch": 3, "claims": (1, 2),
        },
    ),
    (IndexRow, {"summary": SUMMARY, "is_open": True, "shard": SHARD}),
]  # fmt: skip
OTHERS: list[object] = [
    None, False, 9, 0.9, "x", (), NOON.replace(hour=13), PROBLEM.at("fly"), Succeeded(1), Defaults(),
    dataclasses.replace(SUMMARY, saga_id="t"),
]  # fmt: skip
each = pytest.mark.parametrize(("kind", "values"), RECORDS, ids=[kind.__name__ for kind, _ in RECORDS])


@each
def test_its_fields_are_what_it_is_made_with(kind: type, values: dict[str, Any]):
    made = kind(**values)

    assert [field.name for field in dataclasses.fields(kind)] == list(values)
    assert {name: getattr(made, name) for name in values} == values
    assert (
        repr(made) == f"{kind.__name__}({', '.join(f'{name}={value!r}' for name, value in values.items())})"
    )


@each
def test_it_can_be_copied_and_sent_elsewhere(kind: type, values: dict[str, Any]):
    made = kind(**values)

    assert copy.copy(made) == made
    assert copy.deepcopy(made) == made
    assert pickle.loads(pickle.dumps(made)) == made  # noqa: S301 - our own


@each
def test_one_that_differs_in_a_field_is_another(kind: type, values: dict[str, Any]):
    made, same = kind(**values), kind(**values)
    assert made == same
    assert hash(made) == hash(same)

    for name, value in values.items():
        other = next(it for it in OTHERS if it != value and fits(kind, values, name, it))
        changed = dataclasses.replace(made, **{name: other})
        assert changed != made
        assert dataclasses.replace(changed, **{name: value}) == made


def fits(kind: type, values: dict[str, Any], name: str, value: object) -> bool:
    """Whether a field takes a value: compiled code looks."""
    try:
        return getattr(kind(**{**values, name: value}), name) == value
    except TypeError:
        return False


def test_what_a_command_leaves_open_is_told_by_its_defaults():
    told = RecordOutcome(at=NOON, step="fly", op="action", round=1, attempt=1, outcome=Succeeded(None))

    assert (told.room, told.jitter, told.defaults) == (0, 0.5, Defaults())
    assert (told.reissued, told.probed) == (False, False)
    assert Append("s", 0, (), None, is_open=True) == Append("s", 0, (), None, True, None, None, ())
    assert IndexRow(SUMMARY, is_open=True).shard is None
