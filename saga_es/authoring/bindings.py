"""The callables and types of a definition: what stays in the code, beside the plan that is data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import TypeAdapter

from saga_es.errors import DefinitionError
from saga_es.model.definition import SagaDefinition


@dataclass(frozen=True, slots=True)
class Call:
    """One function of the user's, ready for the dispatcher.

    Attributes:
        function: takes what the step takes, positionally; Any, since only the user knows its types.
        is_coroutine: whether calling it makes a coroutine; otherwise it runs in a thread.
        takes_attempt: whether it has a keyword parameter ``attempt``.
    """

    function: Callable[..., Any]
    is_coroutine: bool
    takes_attempt: bool


@dataclass(frozen=True, slots=True)
class StepBinding:
    """What a step runs with.

    Attributes:
        result: decodes and encodes what its action returns.
        needs: the recorded names of the nodes whose results it takes after the input.
        rejects: the exceptions that mean "no effect happened", beside Rejected.
    """

    action: Call
    result: TypeAdapter[Any]
    needs: tuple[str, ...]
    compensation: Call | None
    probe: Call | None
    rejects: tuple[type[Exception], ...]


@dataclass(frozen=True, slots=True)
class SagaBindings:
    """A definition with everything needed to run it."""

    definition: SagaDefinition
    input: TypeAdapter[Any]
    steps: Mapping[str, StepBinding]
    signals: Mapping[str, TypeAdapter[Any]]

    def adapter(self, node: str) -> TypeAdapter[Any]:
        """Return what decodes a step's result, or a signal's payload."""
        step = self.steps.get(node)
        return self.signals[node] if step is None else step.result


class Authored(Protocol):
    """What both forms have in common: an instance of a Saga class, and a fluent Definition."""

    def __saga_bindings__(self) -> SagaBindings:
        """Return the definition with its callables."""
        ...


def bindings_of(saga: Authored) -> SagaBindings:
    """Return a saga's definition with its callables: those of a class's instance bound to it.

    Raises:
        DefinitionError: it can't work, or it is no saga; the message names the place.
    """
    if isinstance(saga, type):
        raise DefinitionError(
            f"sagas=[{saga.__name__}] is the class; pass an instance, {saga.__name__}(…): it holds what the steps "
            "work with",
            where=saga.__name__,
        )
    if not hasattr(saga, "__saga_bindings__"):
        raise DefinitionError(
            f"sagas=[…] takes instances of Saga classes and what define(…) makes, not {type(saga).__name__} {saga!r}",
            where="sagas",
        )
    return saga.__saga_bindings__()


def name_of(saga: object) -> tuple[str, int | None]:
    """Return the name and version of what ``start`` was given; a name alone has no version: the highest is meant.

    Args:
        saga: a Saga class or an instance of one, a fluent Definition, or a registered name.

    Raises:
        DefinitionError: it is none of these, or it can't work.
    """
    if isinstance(saga, str):
        return saga, None
    definition = getattr(saga, "definition", None)
    if not isinstance(definition, SagaDefinition):
        raise DefinitionError(
            f"start takes a Saga class, what define(…) makes, or a registered name, not {saga!r}",
            where="start",
        )
    return definition.name, definition.version
