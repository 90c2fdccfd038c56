"""The ``@step`` decorator: one overload for each number of needs, so that a swapped result is caught."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    TypeAlias,
    TypeVar,
    TypeVarTuple,
    Union,
    Unpack,
    cast,
    overload,
)

from saga_es.authoring.options import OF_STEP, StepOptions, check_callable, check_options, needs_of
from saga_es.authoring.shapes import Attempting, Co, Direct
from saga_es.authoring.signatures import Function
from saga_es.authoring.step import Signal, Step

if TYPE_CHECKING:
    from saga_es.authoring.saga import Saga

S = TypeVar("S", bound="Saga[Any]")
T = TypeVar("T")
R = TypeVar("R")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
G = TypeVar("G")
Ns = TypeVarTuple("Ns")  # the results that a step needs, in order

Need: TypeAlias = Union["Step[Saga[T], T, R, Any]", Signal[R]]


@dataclass
class Start(Generic[*Ns]):
    """Needs no step, at most signals: the input's type is the function's."""

    needs: tuple[Any, ...]
    options: StepOptions

    @overload
    def __call__(self, fn: Callable[[S, T, *Ns], Co[R]]) -> Step[S, T, R, Callable[[T, *Ns], Co[R]]]: ...
    @overload
    def __call__(self, fn: Attempting[S, T, *Ns, Co[R]]) -> Step[S, T, R, Direct[T, *Ns, Co[R]]]: ...
    @overload
    def __call__(self, fn: Callable[[S, T, *Ns], R]) -> Step[S, T, R, Callable[[T, *Ns], R]]: ...
    @overload
    def __call__(self, fn: Attempting[S, T, *Ns, R]) -> Step[S, T, R, Direct[T, *Ns, R]]: ...
    def __call__(self, fn: Any) -> Any:
        return made(fn, self.needs, self.options)


@dataclass
class After(Generic[T, *Ns]):
    """Needs steps: the input's type is theirs."""

    needs: tuple[Any, ...]
    options: StepOptions

    @overload
    def __call__(self, fn: Callable[[S, T, *Ns], Co[R]]) -> Step[S, T, R, Callable[[T, *Ns], Co[R]]]: ...
    @overload
    def __call__(self, fn: Attempting[S, T, *Ns, Co[R]]) -> Step[S, T, R, Direct[T, *Ns, Co[R]]]: ...
    @overload
    def __call__(self, fn: Callable[[S, T, *Ns], R]) -> Step[S, T, R, Callable[[T, *Ns], R]]: ...
    @overload
    def __call__(self, fn: Attempting[S, T, *Ns, R]) -> Step[S, T, R, Direct[T, *Ns, R]]: ...
    def __call__(self, fn: Any) -> Any:
        return made(fn, self.needs, self.options)


@dataclass
class Unchecked:
    """Needs a list, made at run time: checked when the class is made."""

    needs: Sequence[Any]
    options: StepOptions

    @overload
    def __call__(
        self, fn: Callable[Concatenate[S, T, ...], Co[R]]
    ) -> Step[S, T, R, Callable[..., Co[R]]]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[S, T, ...], R]) -> Step[S, T, R, Callable[..., R]]: ...
    def __call__(self, fn: Any) -> Any:
        return made(fn, tuple(self.needs), self.options)


def made(fn: Any, needs: tuple[Any, ...], options: StepOptions) -> Step[Any, Any, Any, Any]:
    """Return the step; its types are the overloads' matter, hence Any."""
    function = Function(check_callable(fn, "a step"), None, method=True)
    check_options(options, OF_STEP, function.name)
    return Step[Any, Any, Any, Any](function, dict(options), needs=needs)


@overload
def step(fn: Callable[[S, T], Co[R]]) -> Step[S, T, R, Callable[[T], Co[R]]]: ...
@overload
def step(fn: Attempting[S, T, Co[R]]) -> Step[S, T, R, Direct[T, Co[R]]]: ...
@overload
def step(fn: Callable[[S, T], R]) -> Step[S, T, R, Callable[[T], R]]: ...
@overload
def step(fn: Attempting[S, T, R]) -> Step[S, T, R, Direct[T, R]]: ...
@overload
def step(**options: Unpack[StepOptions]) -> Start[()]: ...
@overload
def step(*, needs: tuple[Signal[A]], **options: Unpack[StepOptions]) -> Start[A]: ...  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload] - signals alone leave the input open
@overload
def step(*, needs: tuple[Signal[A], Signal[B]], **options: Unpack[StepOptions]) -> Start[A, B]: ...  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload] - the same for two
@overload
def step(*, needs: tuple[Need[T, A]], **options: Unpack[StepOptions]) -> After[T, A]: ...
@overload
def step(*, needs: tuple[Need[T, A], Need[T, B]], **options: Unpack[StepOptions]) -> After[T, A, B]: ...
@overload
def step(
    *, needs: tuple[Need[T, A], Need[T, B], Need[T, C]], **options: Unpack[StepOptions]
) -> After[T, A, B, C]: ...
@overload
def step(
    *, needs: tuple[Need[T, A], Need[T, B], Need[T, C], Need[T, D]], **options: Unpack[StepOptions]
) -> After[T, A, B, C, D]: ...
@overload
def step(
    *,
    needs: tuple[Need[T, A], Need[T, B], Need[T, C], Need[T, D], Need[T, E]],
    **options: Unpack[StepOptions],
) -> After[T, A, B, C, D, E]: ...
@overload
def step(
    *,
    needs: tuple[Need[T, A], Need[T, B], Need[T, C], Need[T, D], Need[T, E], Need[T, G]],
    **options: Unpack[StepOptions],
) -> After[T, A, B, C, D, E, G]: ...
@overload
def step(*, needs: tuple[Need[T, A], ...], **options: Unpack[StepOptions]) -> After[T, *tuple[A, ...]]: ...
@overload
def step(*, needs: list[Any], **options: Unpack[StepOptions]) -> Unchecked: ...
def step(fn: Any = None, *, needs: Any = (), **options: Any) -> Any:
    """Make a function of a saga's class a step of the saga.

    Args:
        fn: takes the input, then the results of what it needs in that order; may take a keyword ``attempt``.
        needs: steps and signals whose results it takes after the input, in that order. A tuple is type-checked
            (up to six, or any number of one type); a list, also of names, is for graphs built at run time.
        **options: see `StepOptions`.
    """
    start = Start[*tuple[Any, ...]](needs_of(needs, "a step"), cast("StepOptions", options))
    return start if fn is None else start(fn)
