"""Events as decide makes them: of values that are known to fit, so that pydantic need not look at them again.

Each takes all fields of its class, and they have to be what the class says: this is checked by type checkers alone.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, TypeVar

from pydantic import BaseModel, JsonValue

from saga_es.model import events as ev
from saga_es.model.lifecycle import Ending
from saga_es.model.problem import Problem

E = TypeVar("E", bound=ev.Event)

_NEW: Final = object.__new__
# The models are frozen, and a slot is set in half the time that object.__setattr__ takes to find it.
_SLOTS: Final = vars(BaseModel)
_SET_FIELDS: Final = _SLOTS["__dict__"].__set__
_SET_NAMES: Final = _SLOTS["__pydantic_fields_set__"].__set__
_SET_EXTRA: Final = _SLOTS["__pydantic_extra__"].__set__
_SET_PRIVATE: Final = _SLOTS["__pydantic_private__"].__set__
_NAMES: Final[dict[type[ev.Event], set[str]]] = {
    kind: set(kind.model_fields) for kind in ev.EVENT_TYPES.values()
}

SAGA_SUCCEEDED: Final = ev.SagaSucceeded()
"""One for all: it says nothing more."""


def _made(kind: type[E], fields: dict[str, object]) -> E:
    event = _NEW(kind)
    _SET_FIELDS(event, fields)
    _SET_NAMES(event, _NAMES[kind])
    _SET_EXTRA(event, None)
    _SET_PRIVATE(event, None)
    return event


def saga_started(
    *, definition: str, definition_version: int, digest: str, input: JsonValue
) -> ev.SagaStarted:
    fields: dict[str, object] = {
        "definition": definition, "definition_version": definition_version, "digest": digest, "input": input,
    }  # fmt: skip
    return _made(ev.SagaStarted, fields)


def step_dispatched(*, step: str, attempt: int, key: str, deadline: datetime | None) -> ev.StepDispatched:
    return _made(ev.StepDispatched, {"step": step, "attempt": attempt, "key": key, "deadline": deadline})


def step_succeeded(*, step: str, attempt: int, result: JsonValue) -> ev.StepSucceeded:
    return _made(ev.StepSucceeded, {"step": step, "attempt": attempt, "result": result})


def step_rejected(*, step: str, attempt: int, error: Problem) -> ev.StepRejected:
    return _made(ev.StepRejected, {"step": step, "attempt": attempt, "error": error})


def compensation_dispatched(
    *, step: str, round: int, attempt: int, key: str, deadline: datetime | None
) -> ev.CompensationDispatched:
    fields: dict[str, object] = {
        "step": step, "round": round, "attempt": attempt, "key": key, "deadline": deadline,
    }  # fmt: skip
    return _made(ev.CompensationDispatched, fields)


def step_compensated(*, step: str, round: int, attempt: int) -> ev.StepCompensated:
    return _made(ev.StepCompensated, {"step": step, "round": round, "attempt": attempt})


def saga_compensating(*, cause: Problem) -> ev.SagaCompensating:
    return _made(ev.SagaCompensating, {"cause": cause})


def saga_failed(*, ending: Ending, cause: Problem, residue: tuple[str, ...]) -> ev.SagaFailed:
    return _made(ev.SagaFailed, {"ending": ending, "cause": cause, "residue": residue})
