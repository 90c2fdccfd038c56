"""What a user's function takes and returns, and whether calling it makes a coroutine."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from saga_es.authoring.annotations import alternatives
from saga_es.authoring.attempt import Attempt
from saga_es.authoring.bindings import Call
from saga_es.errors import DefinitionError

EMPTY = inspect.Parameter.empty


class Unresolved(Exception):
    """An annotation names something that is not there (yet); ``where`` says which function's."""

    def __init__(self, message: str, where: str | None = None) -> None:
        super().__init__(message)
        self.where = where


@dataclass(frozen=True, slots=True)
class Scope:
    """Where annotations are looked for beside the function's module, as pydantic does.

    Attributes:
        frame: of the function that defines the saga. Its locals may still grow; kept until all is resolved.
        own: names of the saga's class.
    """

    frame: FrameType | None
    own: Mapping[str, Any]

    def names(self) -> dict[str, Any]:
        names: dict[str, Any] = {}
        frame = self.frame
        while frame is not None and frame.f_locals is not frame.f_globals:
            names = {**frame.f_locals, **names}
            # A class's body sees what is around it; a function's own code ends the search.
            frame = None if frame.f_code.co_flags & inspect.CO_OPTIMIZED else frame.f_back
        return {**names, **self.own}


@dataclass(frozen=True, slots=True)
class Signature:
    """A function as far as the lint looks; annotations are of any type, hence Any.

    Attributes:
        names, annotations: of the positional parameters, without ``self``; ``Parameter.empty`` where none stands.
        required: how many of them have no default.
        rest: the annotation of ``*results``; ``None`` where there are none.
        result: the return annotation, of a coroutine what it returns in the end.
    """

    names: tuple[str, ...]
    annotations: tuple[Any, ...]
    required: int
    rest: Any
    result: Any
    is_coroutine: bool
    takes_attempt: bool

    def within(self, variables: Mapping[Any, Any]) -> Signature:
        """Return it with type variables replaced by what they stand for."""
        annotations = tuple(substituted(annotation, variables) for annotation in self.annotations)
        rest, result = substituted(self.rest, variables), substituted(self.result, variables)
        return replace(self, annotations=annotations, rest=rest, result=result)

    def parameter(self, place: int) -> Any:
        """Return the annotation of the positional argument at ``place``, from 0."""
        return self.annotations[place] if place < len(self.annotations) else self.rest


@dataclass(slots=True, eq=False)
class Function:
    """A function of the user's; its signature is read once its annotations can be resolved.

    Attributes:
        method: whether it is a class's, and takes ``self``.
        origin: what it is, as a class has it that says what its base's type ``variables`` stand for.
    """

    fn: Callable[..., Any]
    scope: Scope | None
    method: bool
    origin: Function | None = None
    variables: Mapping[Any, Any] = field(default_factory=dict[Any, Any])
    _signature: Signature | None = None

    def within(self, variables: Mapping[Any, Any]) -> Function:
        """Return it as inherited by a class that says what the type variables stand for."""
        return Function(self.fn, None, self.method, self, variables) if variables else self

    @property
    def name(self) -> str:
        """The function's own name, inside partials; an object's that can be called is its class's."""
        fn = _without_partials(self.fn)
        return str(getattr(fn, "__name__", type(fn).__name__))

    def signature(self, where: str) -> Signature:
        """Return what it takes and returns.

        Raises:
            Unresolved: an annotation can't be found (yet).
            DefinitionError: it can't be called the way steps are; ``where`` names it.
        """
        if self._signature is None:
            if self.origin is not None:
                self._signature = self.origin.signature(where).within(self.variables)
            else:
                self._signature = _signature(self, where)
            self.scope = None  # its frame would keep the defining function's locals alive
        return self._signature

    def call(self, where: str) -> Call:
        """Return it as the dispatcher calls it."""
        signature = self.signature(where)
        return Call(self.fn, signature.is_coroutine, signature.takes_attempt)


def substituted(annotation: Any, known: Mapping[Any, Any]) -> Any:
    """Return an annotation with its type variables replaced, also inside ``list[T]`` and the like."""
    if isinstance(annotation, TypeVar):
        return known.get(annotation, annotation)
    parameters = getattr(annotation, "__parameters__", ())
    if isinstance(annotation, type) or not any(each in known for each in parameters):
        return annotation
    return annotation[tuple(known.get(each, each) for each in parameters)]


def unwrapped(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function inside partials and callable objects: the one that carries the annotations."""
    fn = _without_partials(fn)
    if inspect.isroutine(fn) or isinstance(fn, type):
        return fn
    called: Callable[..., Any] = getattr(type(fn), "__call__")  # noqa: B004, B009 - where Python itself looks
    return called


def _without_partials(fn: Callable[..., Any]) -> Callable[..., Any]:
    while isinstance(fn, functools.partial):
        fn = fn.func
    return fn


def is_coroutine(fn: Callable[..., Any]) -> bool:
    """Say whether calling ``fn`` makes a coroutine, also through partials, objects and plain wrappers."""
    inner = unwrapped(fn)
    return inspect.iscoroutinefunction(inner) or inspect.iscoroutinefunction(inspect.unwrap(inner))


def _signature(function: Function, where: str) -> Signature:
    fn = function.fn
    try:
        parameters = list(inspect.signature(fn).parameters.values())
    except ValueError as error:
        raise DefinitionError(
            f"its parameters can't be read: {error}; wrap it in a def", where=where
        ) from error
    except NameError as error:  # Python 3.14 resolves annotations here
        raise Unresolved(str(error), where) from error
    hints = _hints(function, where)
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    positional = positional[1:] if function.method else positional
    _check_kind(fn, where)
    _check_parameters(parameters, positional, hints, where)
    result, coroutine = hints.get("return", EMPTY), is_coroutine(fn)
    if not coroutine and get_origin(result) in (Coroutine, Awaitable):
        result, coroutine = get_args(result)[-1], True
    return Signature(
        names=tuple(p.name for p in positional),
        annotations=tuple(hints.get(p.name, EMPTY) for p in positional),
        required=sum(p.default is p.empty for p in positional),
        rest=next((hints.get(p.name, EMPTY) for p in parameters if p.kind is p.VAR_POSITIONAL), None),
        result=result,
        is_coroutine=coroutine,
        takes_attempt=any(p.kind is p.KEYWORD_ONLY and p.name == "attempt" for p in parameters),
    )


def _hints(function: Function, where: str) -> dict[str, Any]:
    names = function.scope.names() if function.scope else None
    try:
        return get_type_hints(unwrapped(function.fn), localns=names, include_extras=True)
    except Exception as error:  # whatever evaluating the user's annotation raises
        raise Unresolved(f"{type(error).__name__}: {error}", where) from error


def _check_kind(fn: Callable[..., Any], where: str) -> None:
    inner = inspect.unwrap(unwrapped(fn))
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        raise DefinitionError("is a generator; a step returns one result", where=where)


def _check_parameters(
    parameters: list[inspect.Parameter],
    positional: list[inspect.Parameter],
    hints: Mapping[str, Any],
    where: str,
) -> None:
    for parameter in parameters:
        unbound = parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty
        if unbound and parameter.name != "attempt":
            raise DefinitionError(
                f"takes the keyword {parameter.name!r}, which nobody passes; give it a default, or bind it with "
                "functools.partial",
                where=where,
            )
    for parameter in positional:
        if Attempt in alternatives(hints.get(parameter.name)):
            raise DefinitionError(
                f"takes {parameter.name!r}: Attempt by position; an attempt is passed by keyword: "
                "def …(…, *, attempt: Attempt)",
                where=where,
            )
