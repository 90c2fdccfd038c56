"""Class style: a saga is a class, its steps are functions, its dependencies are the instance's."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from types import FrameType
from typing import Any, ClassVar, ForwardRef, Generic, TypeVar, get_type_hints

from saga_es.authoring.assembly import Assembly, Header, OnFailure, assemble, unresolved
from saga_es.authoring.bindings import SagaBindings
from saga_es.authoring.entries import Entry, SignalEntry, StepEntry, Undo
from saga_es.authoring.inheritance import parts_of, variables_of
from saga_es.authoring.signatures import Function, Scope, Unresolved
from saga_es.authoring.step import Bound, Compensation, Probe, Signal, Step
from saga_es.errors import DefinitionError
from saga_es.model.definition import SagaDefinition

T = TypeVar("T")


class PlanOf:
    """``Saga.definition``: the class's plan, as data."""

    def __get__(self, instance: object, owner: type[Saga[Any]]) -> SagaDefinition:
        return assembly_of(owner).bindings.definition


class Saga(Generic[T]):
    """One business transaction; ``T`` is its input.

    ``class BuyPackage(Saga[Trip], name="buy package", version=1, on_failure="drain")``. A class without a name
    only lends its steps to others; one that inherits from a saga and says no name is that saga, varied.

    Attributes:
        definition: the plan, as data.

    Raises:
        DefinitionError: when the class is made (at the latest when an engine is): it can't work.
    """

    definition: ClassVar[PlanOf] = PlanOf()
    __declared: ClassVar[_Declared | None] = None

    def __init_subclass__(
        cls, *, name: str | None = None, version: int | None = None, on_failure: OnFailure | None = None
    ) -> None:
        super().__init_subclass__()
        own = {**vars(cls), cls.__name__: cls}
        scope = Scope(
            _defining_frame(cls), {n: v for n, v in own.items() if not isinstance(v, Bound | Signal)}
        )
        _settle(cls, scope)
        header = cls.__declared.header if cls.__declared else Header("", None)
        header = Header(
            name=header.name if name is None else name,
            input=None,
            version=header.version if version is None else version,
            on_failure=on_failure or header.on_failure,
        )
        if cls.__declared is None and name is None:
            return
        cls.__declared = _Declared(cls, header, scope)
        with suppress(Unresolved):  # tried once more when the definition is asked for, or the engine made
            cls.__declared.assembled()

    def __saga_bindings__(self) -> SagaBindings:
        return assembly_of(type(self)).bound(self)

    @classmethod
    def __saga_assembly__(cls) -> Assembly:
        if cls.__declared is None:
            raise DefinitionError(
                f"has no name, so it only lends its steps to others; write class {cls.__name__}(…, name=…)",
                where=cls.__name__,
            )
        try:
            return cls.__declared.assembled()
        except Unresolved as error:
            raise unresolved(error, cls.__declared.header.name) from error


def assembly_of(cls: type[Saga[Any]]) -> Assembly:
    """Return a class's plan and functions, or raise DefinitionError."""
    return cls.__saga_assembly__()


@dataclass(slots=True, eq=False)
class _Declared:
    """A class that is a saga of its own, before and after its annotations could be resolved."""

    cls: type[Saga[Any]]
    header: Header
    scope: Scope | None
    assembly: Assembly | None = None

    def assembled(self) -> Assembly:
        if self.assembly is None:
            variables = variables_of(self.cls, Saga)
            header = replace(self.header, input=self._input(tuple(variables[Saga].values())))
            self.assembly = assemble(header, tuple(_entries(self.cls, variables)))
            self.scope = None  # its frame would keep the defining function's locals alive
        return self.assembly

    def _input(self, given: tuple[Any, ...]) -> Any:
        if not given or isinstance(given[0], TypeVar):
            raise DefinitionError(
                "does not say what its input is; write Saga[YourInput]", where=self.cls.__name__
            )
        if not isinstance(given[0], ForwardRef):
            return given[0]
        stand_in = type(
            "Input", (), {"__annotations__": {"input": given[0]}, "__module__": self.cls.__module__}
        )
        try:
            return get_type_hints(stand_in, localns=self.scope.names() if self.scope else None)["input"]
        except NameError as error:
            raise Unresolved(str(error)) from error


def _defining_frame(cls: type) -> FrameType | None:
    """Return the frame that runs the class's statement: the nearest of its module, past metaclasses' own."""
    start = sys._getframe(2)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - as pydantic does
    frame: FrameType | None = start
    while frame is not None and frame.f_globals.get("__name__") != cls.__module__:
        frame = frame.f_back
    return frame


def _settle(cls: type, scope: Scope) -> None:
    """Read what can be read of the class's own functions, where the names around it are known."""
    for name, value in vars(cls).items():
        if isinstance(value, Bound) and value.function.scope is None:
            value.function.scope = scope
            try:
                value.function.signature(f"{cls.__name__}.{name}")
            except Unresolved:
                continue  # asked again when the class is assembled


def _entries(cls: type, variables: Mapping[type, Mapping[Any, Any]]) -> Iterator[Entry]:
    parts = parts_of(cls)
    names = {attribute: part.name for attribute, (part, _) in parts.items()}
    undos = {each[0].undoes.attribute: each for each in parts.values() if isinstance(each[0], Compensation)}
    probes = {each[0].asks.attribute: each for each in parts.values() if isinstance(each[0], Probe)}
    for attribute, (part, owner) in parts.items():
        if issubclass(type(part), Signal):
            needs = _needs(cls, attribute, part.needs, names)
            yield SignalEntry(part.name, part.payload, needs, part.timeout, part.title)
        elif issubclass(type(part), Step):
            undo, probe = undos.get(attribute), probes.get(attribute)
            yield StepEntry(
                name=part.name,
                function=_within(part, owner, variables),
                needs=_needs(cls, attribute, part.needs, names),
                options=part.options,
                undo=Undo(_within(*undo, variables), undo[0].name, undo[0].options) if undo else None,
                probe=_within(*probe, variables) if probe else None,
                probe_name=probe[0].name if probe else None,
            )


def _within(part: Any, owner: type, variables: Mapping[type, Mapping[Any, Any]]) -> Function:
    function: Function = part.function
    return function.within(variables.get(owner, {}))


def _needs(cls: type, attribute: str, needs: tuple[Any, ...], names: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(_need(cls, need, names, f"{cls.__name__}.{attribute}") for need in needs)


def _need(cls: type, need: Any, names: Mapping[str, str], where: str) -> str:
    """Return the recorded name of what is needed: a step or signal of this class or its bases, or a name."""
    if isinstance(need, str):
        return need if need in names.values() else names.get(need, need)
    if not isinstance(need, Step | Signal):
        raise DefinitionError(f"needs {need!r}, which is no step or signal of this saga", where=where)
    if not any(inspect.getattr_static(each, need.attribute, None) is need for each in cls.__mro__):
        raise DefinitionError(
            f"needs {need.name!r} of another saga; only steps and signals of the same one can be needed",
            where=where,
        )
    # By attribute: a subclass may have replaced the step, and recorded it under another name.
    return names.get(need.attribute, need.name)
