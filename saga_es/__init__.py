"""Event-sourced saga state machines: durable, parallel, compensated, replayable."""

from saga_es.authoring.attempt import Attempt
from saga_es.authoring.decorator import step
from saga_es.authoring.do import do
from saga_es.authoring.fluent import Definition, define
from saga_es.authoring.saga import Saga
from saga_es.authoring.step import Signal, signal
from saga_es.errors import (
    CopyConflict,
    DefinitionError,
    EngineClosed,
    IllegalTransition,
    InvalidInput,
    MissingExtra,
    PastPivot,
    PayloadTooLarge,
    Rejected,
    SagaAlreadyEnded,
    SagaError,
    SagaFailed,
    SagaIdConflict,
    SignalConflict,
    StoredEventError,
    StoreInUse,
    StoreSchemaError,
    StoreUnavailable,
    UnknownDefinition,
    UnknownSaga,
    UnknownSignal,
    UnknownStep,
    VersionConflict,
)
from saga_es.history import History
from saga_es.model.definition import Retry, SagaDefinition
from saga_es.model.events import Recorded
from saga_es.model.lifecycle import Ending, SagaStatus, SignalStatus, StepStatus
from saga_es.model.problem import Problem, ProblemKind
from saga_es.model.state import SagaState, StepState
from saga_es.model.summary import Page, SagaSummary
from saga_es.outcome import Outcome
from saga_es.runtime.client import SagaClient
from saga_es.runtime.clock import Clock, SystemClock
from saga_es.runtime.engine import SagaEngine
from saga_es.runtime.settings import Settings
from saga_es.store.crew import Owned, WorkerInfo

__all__ = [
    "Attempt",
    "Clock",
    "CopyConflict",
    "Definition",
    "DefinitionError",
    "Ending",
    "EngineClosed",
    "History",
    "IllegalTransition",
    "InvalidInput",
    "MissingExtra",
    "Outcome",
    "Owned",
    "Page",
    "PastPivot",
    "PayloadTooLarge",
    "Problem",
    "ProblemKind",
    "Recorded",
    "Rejected",
    "Retry",
    "Saga",
    "SagaAlreadyEnded",
    "SagaClient",
    "SagaDefinition",
    "SagaEngine",
    "SagaError",
    "SagaFailed",
    "SagaIdConflict",
    "SagaState",
    "SagaStatus",
    "SagaSummary",
    "Settings",
    "Signal",
    "SignalConflict",
    "SignalStatus",
    "StepState",
    "StepStatus",
    "StoreInUse",
    "StoreSchemaError",
    "StoreUnavailable",
    "StoredEventError",
    "SystemClock",
    "UnknownDefinition",
    "UnknownSaga",
    "UnknownSignal",
    "UnknownStep",
    "VersionConflict",
    "WorkerInfo",
    "define",
    "do",
    "signal",
    "step",
]
