"""Events that are made on trust are what their classes make."""

from __future__ import annotations

from copy import copy, deepcopy

import pytest
from pydantic import ValidationError

from saga_es.model import events as ev
from saga_es.model import making
from saga_es.model.lifecycle import Ending
from tests.unit.model.plans import NO, at

MADE = {
    "SagaStarted": making.saga_started(
        definition="trip", definition_version=1, digest="sha256:1", input={"a": [1, None]}
    ),
    "StepDispatched": making.step_dispatched(step="plane", attempt=1, key="s/plane/action/1", deadline=at(1)),
    "StepSucceeded": making.step_succeeded(step="plane", attempt=1, result={"number": "LIS-GIG"}),
    "StepRejected": making.step_rejected(step="plane", attempt=2, error=NO),
    "CompensationDispatched": making.compensation_dispatched(
        step="plane", round=1, attempt=1, key="s/plane/compensation/1", deadline=None
    ),
    "StepCompensated": making.step_compensated(step="plane", round=1, attempt=1),
    "SagaCompensating": making.saga_compensating(cause=NO),
    "SagaFailed": making.saga_failed(ending=Ending.RESIDUE, cause=NO, residue=("plane",)),
    "SagaSucceeded": making.SAGA_SUCCEEDED,
}  # fmt: skip


@pytest.mark.parametrize("name", MADE)
def test_it_is_what_the_class_makes_of_the_same(name: str):
    made, kind = MADE[name], ev.EVENT_TYPES[name]

    usual = kind(**{field: getattr(made, field) for field in kind.model_fields})

    assert type(made) is kind
    assert made == usual
    assert repr(made) == repr(usual)
    assert made.model_dump_json() == usual.model_dump_json()  # the order of the fields, too
    assert made.model_fields_set == usual.model_fields_set
    for again in (copy(made), deepcopy(made), made.model_copy()):
        assert again == usual


def test_it_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        MADE["StepSucceeded"].step = "hotel"
