"""From a saga's declaration to its plan and what runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MethodType
from typing import Any, Literal, TypeAlias

from pydantic import ValidationError

from saga_es.authoring.bindings import Call, SagaBindings, StepBinding
from saga_es.authoring.codec import in_words
from saga_es.authoring.entries import Adapters, Compiled, CompiledStep, Entry, Schema, compile_entry
from saga_es.authoring.signatures import Unresolved
from saga_es.errors import DefinitionError
from saga_es.model.definition import SagaDefinition

OnFailure: TypeAlias = Literal["drain", "cancel"]


@dataclass(frozen=True, slots=True)
class Header:
    """What a saga says of itself before its steps; the input is an annotation, and so of any type."""

    name: str
    input: Any
    version: int = 1
    on_failure: OnFailure = "drain"


@dataclass(frozen=True, slots=True)
class Assembly:
    """A plan with its functions, those of a class not bound yet."""

    bindings: SagaBindings

    def bound(self, instance: object) -> SagaBindings:
        """Return the bindings with the functions of a class bound to one of its instances."""
        made = self.bindings
        steps = {name: _bound(step, instance) for name, step in made.steps.items()}
        return SagaBindings(made.definition, made.input, steps, made.signals)


def assemble(
    header: Header,
    entries: Sequence[Entry],
    ready: Mapping[str, Compiled] | None = None,
    adapters: Adapters | None = None,
) -> Assembly:
    """Return the plan of what was declared.

    Args:
        header: what the saga says of itself.
        entries: its nodes, as they were declared.
        ready: nodes that were compiled before, with all they need.
        adapters: with which they were.

    Raises:
        DefinitionError: it can't work; the message names the place.
        Unresolved: an annotation can't be found (yet).
    """
    ready, adapters = ready or {}, adapters or Adapters()
    types = {entry.name: entry.returns(f"{header.name}.{entry.name}") for entry in entries}
    takes, schema = adapters.of(header.input, f"{header.name}: its input")
    compiled = [
        ready.get(entry.name)
        or compile_entry(entry, saga=header.name, takes=header.input, types=types, adapters=adapters)
        for entry in entries
    ]
    steps = {it.definition.name: it.binding for it in compiled if isinstance(it, CompiledStep)}
    signals = {it.definition.name: it.payload for it in compiled if not isinstance(it, CompiledStep)}
    return Assembly(SagaBindings(_plan(header, compiled, schema), takes, steps, signals))


def unresolved(error: Unresolved, where: str) -> DefinitionError:
    """Return what to tell of an annotation that could not be resolved when the engine was made either."""
    return DefinitionError(
        f"an annotation can't be resolved: {error}. Define or import the type where the module, the class or the "
        "function that defines the saga can see it (not under TYPE_CHECKING)",
        where=error.where or where,
    )


def _plan(header: Header, compiled: Sequence[Compiled], schema: Schema) -> SagaDefinition:
    try:
        return SagaDefinition(
            name=header.name,
            version=header.version,
            on_failure=header.on_failure,
            input_schema=schema,
            steps=tuple(node.definition for node in compiled if isinstance(node, CompiledStep)),
            signals=tuple(node.definition for node in compiled if not isinstance(node, CompiledStep)),
            order=tuple(node.definition.name for node in compiled),
        )
    except ValidationError as error:
        raise DefinitionError(in_words(error), where=str(header.name)) from error


def _bound(step: StepBinding, instance: object) -> StepBinding:
    def bind(call: Call) -> Call:
        function: Callable[..., Any] = MethodType(call.function, instance)
        return Call(function, call.is_coroutine, call.takes_attempt)

    return StepBinding(
        action=bind(step.action),
        result=step.result,
        needs=step.needs,
        compensation=bind(step.compensation) if step.compensation else None,
        probe=bind(step.probe) if step.probe else None,
        rejects=step.rejects,
    )
