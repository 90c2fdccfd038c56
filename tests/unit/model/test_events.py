"""Events are promises: their names, their fields, and that they survive being written down."""

import pytest
from pydantic import ValidationError

from saga_es.model import events as ev
from saga_es.model.problem import Problem, ProblemKind
from tests.unit.model.plans import BY, NO, at

FIELDS = {
    "SagaStarted": "definition definition_version digest input",
    "StepDispatched": "step attempt key deadline",
    "StepSucceeded": "step attempt result",
    "StepRejected": "step attempt error",
    "StepRetryScheduled": "step attempt error due",
    "StepOutcomeUnknown": "step attempt why",
    "SagaCompensating": "cause",
    "CompensationDispatched": "step round attempt key deadline",
    "CompensationRetryScheduled": "step round attempt error due",
    "StepCompensated": "step round attempt",
    "SagaSucceeded": "",
    "SagaFailed": "ending cause residue",
    "SagaParked": "reason step op round attempt",
    "SagaUnparked": "step",
    "CancelRequested": "by reason",
    "SignalAwaited": "signal due",
    "SignalReceived": "signal payload",
    "SignalTimedOut": "signal",
    "LateOutcomeReceived": "step op round attempt outcome",
    "RetryRequested": "step by reason",
    "ResultSupplied": "step by reason result",
    "RejectionSupplied": "step by reason",
    "StepSkipped": "step by reason",
    "CompensationForced": "step by reason",
    "SagaPaused": "by reason",
    "SagaResumed": "by reason",
}
VALUES = {
    "definition": "trip", "definition_version": 1, "digest": "sha256:0", "input": {"n": [1, None, 1.5]}, "step": "a",
    "attempt": 1, "key": "saga-1/a/action/1", "deadline": at(5), "result": False, "error": NO, "due": at(9), "why": NO,
    "cause": NO.at("a"), "round": 2, "ending": "residue", "residue": ("a", "b"), "reason": "because", "op": "action",
    "by": "ann", "signal": "w", "payload": "yes", "outcome": ev.LateSuccess(result=0),
}  # fmt: skip


def make(name, **other):
    fields = {field: VALUES[field] for field in FIELDS[name].split()}
    if name == "SagaParked":
        fields["reason"] = NO
    return ev.EVENT_TYPES[name](**{**fields, **other})


def test_the_registry_knows_every_event_by_its_class_s_name():
    assert set(ev.EVENT_TYPES) == set(FIELDS)
    assert all(event.__name__ == name for name, event in ev.EVENT_TYPES.items())


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.promise(f"event.{name}")) for name in FIELDS]
)
def test_an_event_has_exactly_its_fields_and_survives_json(name):
    event = make(name)
    assert set(type(event).model_fields) == set(FIELDS[name].split())
    assert set(event.model_dump(mode="json")) == set(FIELDS[name].split())
    assert type(event).model_validate_json(event.model_dump_json()) == event


@pytest.mark.parametrize("name", FIELDS)
def test_an_event_is_frozen_and_closed(name):
    event = make(name)
    with pytest.raises(ValidationError):
        ev.EVENT_TYPES[name].model_validate({**event.model_dump(), "surplus": 1})
    for field in FIELDS[name].split():
        with pytest.raises(ValidationError):
            setattr(event, field, None)


def test_times_are_aware():
    with pytest.raises(ValidationError):
        make("StepRetryScheduled", due=at(0).replace(tzinfo=None))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [float("nan")], object(), {1: 2}])
def test_what_is_no_json_is_no_result(value):
    with pytest.raises(ValidationError):
        make("StepSucceeded", result=value)


@pytest.mark.parametrize(
    "outcome", [ev.LateSuccess(result={"kind": "error"}), ev.LateSuccess(result=None), NO, NO.at("b")]
)
def test_a_late_outcome_is_a_success_or_a_problem(outcome):
    event = make("LateOutcomeReceived", outcome=outcome)
    again = ev.LateOutcomeReceived.model_validate_json(event.model_dump_json())
    assert again.outcome == outcome
    assert type(again.outcome) is type(outcome)


@pytest.mark.promise(
    "field.Problem.kind", "field.Problem.type", "field.Problem.message", "field.Problem.step"
)
def test_a_problem_names_its_step_only_where_it_is_not_the_event_s_own():
    assert NO.model_dump(mode="json") == {"kind": "rejected", "type": "Rejected", "message": "no rooms"}
    assert NO.at("a").model_dump(mode="json")["step"] == "a"
    assert NO.at("a").at(None) == NO
    assert [kind.value for kind in ProblemKind] == [
        "rejected", "error", "timeout", "cancelled", "too_large", "abandoned", "incompatible",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (NO, "no rooms"),
        (Problem(kind=ProblemKind.ERROR, type="KeyError", message=""), "KeyError"),
        (Problem(kind=ProblemKind.ERROR, type="", message=""), "error"),
    ],
)
def test_a_problem_in_words(problem, words):
    assert problem.in_words() == words


def test_who_and_why_stand_in_every_repair():
    assert BY == {"by": "ann", "reason": "because"}
    for name in (
        "RetryRequested",
        "ResultSupplied",
        "RejectionSupplied",
        "StepSkipped",
        "CompensationForced",
    ):
        event = make(name)
        assert isinstance(event, ev.RepairEvent)
        assert (event.by, event.reason) == ("ann", "because")
