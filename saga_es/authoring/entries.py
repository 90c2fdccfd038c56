"""What was declared, step by step and signal by signal, and its lint: all of it that needs functions and types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, TypeAlias

from pydantic import JsonValue, PydanticSchemaGenerationError, PydanticUndefinedAnnotation, TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticUserError
from pydantic.json_schema import GenerateJsonSchema

from saga_es.authoring.annotations import accepts_none, can_fit, shown
from saga_es.authoring.bindings import StepBinding
from saga_es.authoring.options import is_timeout
from saga_es.authoring.signatures import EMPTY, Function, Signature, Unresolved
from saga_es.errors import DefinitionError
from saga_es.model.definition import CompensationDefinition, SignalDefinition, StepDefinition

POLICIES: Final = ("retry", "timeout", "pivot", "read_only")


@dataclass(frozen=True, slots=True)
class Undo:
    """What undoes a step, and its options."""

    function: Function
    name: str
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StepEntry:
    """A step as it was declared; the options were checked."""

    name: str
    function: Function
    needs: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    undo: Undo | None = None
    probe: Function | None = None
    probe_name: str | None = None

    def returns(self, where: str) -> Any:
        """Return the annotation of what others get from it; see `Function.signature` for the errors."""
        result = self.function.signature(where).result
        if result is EMPTY:
            raise DefinitionError(
                "has no return annotation, so its result can't be read back from what is recorded; add one "
                "(-> None if there is none)",
                where=where,
            )
        return result


@dataclass(frozen=True, slots=True)
class SignalEntry:
    """A signal as it was declared; its payload is an annotation, and so of any type."""

    name: str
    payload: Any
    needs: tuple[str, ...] = ()
    timeout: timedelta | None = None
    title: str | None = None

    def returns(self, where: str) -> Any:
        """Return the annotation of what others get from it."""
        del where
        return self.payload


Entry: TypeAlias = StepEntry | SignalEntry


@dataclass(frozen=True, slots=True)
class CompiledStep:
    definition: StepDefinition
    binding: StepBinding


@dataclass(frozen=True, slots=True)
class CompiledSignal:
    definition: SignalDefinition
    payload: TypeAdapter[Any]


Compiled: TypeAlias = CompiledStep | CompiledSignal
Schema: TypeAlias = dict[str, JsonValue] | None


class Adapters:
    """Reads and writes what a saga's nodes return: made once for each class, however many of them return it."""

    def __init__(self, like: Adapters | None = None) -> None:
        # By id, since a class may not be hashable. In another process, where this was pickled to, it may be another's.
        self.known: dict[int, tuple[type, TypeAdapter[Any], Schema]] = {} if like is None else {**like.known}

    def of(self, annotation: Any, where: str) -> tuple[TypeAdapter[Any], Schema]:
        """Return an annotation's adapter and JSON schema; raises as `adapter_of` does."""
        known = self.known.get(id(annotation))
        if known is not None and known[0] is annotation:
            return known[1:]
        adapter = adapter_of(annotation, where)
        schema = schema_of(adapter)
        if isinstance(annotation, type):  # what is made of others is made anew each time it is said
            self.known[id(annotation)] = annotation, adapter, schema
        return adapter, schema


def compile_entry(
    entry: Entry, *, saga: str, takes: Any, types: Mapping[str, Any], adapters: Adapters
) -> Compiled:
    """Return one node's part of the plan, and what runs it.

    Args:
        entry: the node, as it was declared.
        saga: the saga's name, for errors.
        takes: the annotation of the saga's input.
        types: what the nodes it needs return; an absent one is not compared.
        adapters: the saga's.

    Raises:
        DefinitionError: it can't work; the message names the place.
        Unresolved: an annotation can't be found (yet).
    """
    where = f"{saga}.{entry.name}"
    if isinstance(entry, SignalEntry):
        return _signal(entry, where, adapters)
    _check(entry, saga, where, takes, types)
    return _step(entry, where, adapters)


def _signal(entry: SignalEntry, where: str, adapters: Adapters) -> CompiledSignal:
    if entry.timeout is not None and not is_timeout(entry.timeout):
        raise DefinitionError(
            f"timeout= has to be a timedelta above zero, or None to wait for ever, not {entry.timeout!r}",
            where=where,
        )
    payload, schema = adapters.of(entry.payload, where)
    definition = SignalDefinition(
        name=entry.name,
        title=entry.title or titled(entry.name),
        needs=entry.needs,
        timeout=entry.timeout,
        payload_schema=schema,
    )
    return CompiledSignal(definition, payload)


def _check(entry: StepEntry, saga: str, where: str, takes: Any, types: Mapping[str, Any]) -> None:
    """Raise DefinitionError where its functions can't take what they will be given."""
    returns, signature = entry.returns(where), entry.function.signature(where)
    given = [takes, *(types.get(need, EMPTY) for need in entry.needs)]
    _check_arguments(signature, given, ("the input", *entry.needs), where)
    if entry.undo is not None:
        _check_undo(entry, f"{saga}.{entry.undo.name}", takes, returns)
    if entry.probe is not None:
        _check_probe(entry, entry.probe, f"{saga}.{entry.probe_name}", takes, returns)


def _step(entry: StepEntry, where: str, adapters: Adapters) -> CompiledStep:
    signature = entry.function.signature(where)
    result, schema = adapters.of(entry.returns(where), where)
    definition = StepDefinition(
        name=entry.name,
        title=entry.options.get("title") or titled(entry.name),
        needs=entry.needs,
        compensation=_compensation(entry.undo),
        probe=entry.probe_name,
        optional=tuple(n for at, n in enumerate(entry.needs, 1) if accepts_none(signature.parameter(at))),
        result_schema=schema,
        **_policies(entry.options),
    )
    binding = StepBinding(
        action=entry.function.call(where),
        result=result,
        needs=entry.needs,
        compensation=entry.undo.function.call(where) if entry.undo else None,
        probe=entry.probe.call(where) if entry.probe else None,
        rejects=entry.options.get("rejects", ()),
    )
    return CompiledStep(definition, binding)


def _policies(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: options[name] for name in POLICIES if name in options}


def _compensation(undo: Undo | None) -> CompensationDefinition | None:
    if undo is None:
        return None
    options: dict[str, Any] = {"title": titled(undo.name), **undo.options}
    return CompensationDefinition(name=undo.name, **options)


def _check_undo(entry: StepEntry, where: str, takes: Any, returns: Any) -> None:
    assert entry.undo is not None  # noqa: S101 - asked only where there is one
    signature = entry.undo.function.signature(where)
    _check_arguments(signature, [takes, returns], ("the input", f"{entry.name}'s result"), where)
    if not accepts_none(signature.parameter(1)):
        raise DefinitionError(
            f"has to accept None for {entry.name}'s result, since it is called with None when the outcome is "
            f"unknown; annotate it {shown(signature.parameter(1))} | None",
            where=where,
        )


def _check_probe(entry: StepEntry, probe: Function, where: str, takes: Any, returns: Any) -> None:
    signature = probe.signature(where)
    _check_arguments(signature, [takes], ("the input",), where)
    if not can_fit(signature.result, returns):
        raise DefinitionError(
            f"returns {shown(signature.result)}, but has to return {entry.name}'s result, {shown(returns)}",
            where=where,
        )


def _check_arguments(signature: Signature, given: Sequence[Any], named: Sequence[str], where: str) -> None:
    """Raise DefinitionError where a function can't take what it will be given."""
    most = len(given) if signature.rest is not None else len(signature.annotations)
    if not signature.required <= len(given) <= most:
        raise DefinitionError(
            f"takes {len(signature.names)} ({', '.join(signature.names) or 'nothing'}) by position, but is given "
            f"{len(given)} ({', '.join(named)})",
            where=where,
        )
    for place, (annotation, name) in enumerate(zip(given, named, strict=True)):
        wanted = signature.parameter(place)
        if not can_fit(annotation, wanted):
            raise DefinitionError(
                f"takes {shown(wanted)} where it is given {name}, which is {shown(annotation)}", where=where
            )


def titled(name: str) -> str:
    """Return a name as people read it."""
    return name.replace("_", " ")


def adapter_of(annotation: Any, where: str) -> TypeAdapter[Any]:
    """Return what reads and writes values of an annotation, or raise DefinitionError or Unresolved."""
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    except (PydanticUndefinedAnnotation, NameError) as error:
        raise Unresolved(str(error), where) from error
    except (PydanticSchemaGenerationError, PydanticUserError) as error:
        reason = str(error).partition("\n")[0]
        raise DefinitionError(
            f"{shown(annotation)} can't be read back from what is recorded: {reason}", where=where
        ) from error
    if not adapter.pydantic_complete:
        raise Unresolved(f"{shown(annotation)} is not fully defined", where)
    return adapter


class _Quiet(GenerateJsonSchema):
    """A default that has no JSON is left out of the picture; that is nobody's mistake."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - pydantic's own name


def schema_of(adapter: TypeAdapter[Any]) -> Schema:
    """Return the JSON schema, or ``None`` for a type that has none: only its picture is lost."""
    try:
        return adapter.json_schema(schema_generator=_Quiet)
    except (PydanticInvalidForJsonSchema, PydanticUserError, TypeError, ValueError):
        return None
