"""Class style: what the decorators on a saga's functions make of them."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from types import FrameType, MethodType
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, Unpack, cast, overload

from saga_es.authoring.attempt import Attempt
from saga_es.authoring.options import OF_UNDO, Options, check_callable, check_options, needs_of
from saga_es.authoring.shapes import Attempting, Co, Direct
from saga_es.authoring.signatures import Function
from saga_es.errors import DefinitionError
from saga_es.model.events import Op

if TYPE_CHECKING:
    from saga_es.authoring.saga import Saga

S = TypeVar("S", bound="Saga[Any]")
S_co = TypeVar("S_co", bound="Saga[Any]", covariant=True)  # covariant: a subclass may override a step
T = TypeVar("T")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
F_co = TypeVar("F_co", covariant=True)  # what it is when called on an instance
X = TypeVar("X", bound="Coroutine[Any, Any, None] | None")
DEEPEST: Final = 10  # frames between a decorator's inside and the class's body, at most


def check_nothing_is_lost(fn: Callable[..., Any]) -> None:
    """Raise DefinitionError where the class's body has another part under the function's name already.

    Python would put the later one in its place, and a step's compensation would be gone without a word.
    """
    body, _, name = str(getattr(fn, "__qualname__", "")).rpartition(".")
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - as in saga.py
    for _ in range(DEEPEST):
        if frame is None or not body:
            return
        if frame.f_locals.get("__qualname__") == body:
            if isinstance(frame.f_locals.get(name), Bound | Signal):
                raise DefinitionError(
                    f"two nodes, compensations or probes are named {name!r}; the first would be lost. Rename one",
                    where=f"{body.rpartition('.')[2]}.{name}",
                )
            return
        frame = frame.f_back


@dataclass(eq=False)
class Bound(Generic[F_co]):
    """A function of a saga's class: itself on the class, plainly callable on an instance."""

    function: Function
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    attribute: str = ""

    def __post_init__(self) -> None:
        check_nothing_is_lost(self.function.fn)

    def __set_name__(self, owner: type, name: str) -> None:
        if not self.attribute:  # an alias in the class's body does not rename it
            self.attribute = name

    @property
    def name(self) -> str:
        """The recorded name: the one given, or the function's."""
        return str(self.options.get("name") or self.attribute or self.function.name)

    def _on(self, saga: object, op: Op) -> Any:
        bound: Callable[..., Any] = MethodType(self.function.fn, saga)
        parameter = inspect.signature(bound).parameters.get("attempt")
        if parameter is None or parameter.kind is not parameter.KEYWORD_ONLY:
            return bound

        @functools.wraps(bound)
        def direct(*args: Any, attempt: Attempt | None = None) -> Any:
            return bound(*args, attempt=attempt or Attempt.stand_in(self._called_for, op))

        return direct

    @property
    def _called_for(self) -> str:
        """The name of the step that an attempt of this belongs to."""
        return self.name


@dataclass(eq=False)
class Signal(Generic[R]):  # invariant in R: engine.signal() must not widen the payload's type
    """A node that waits for somebody outside; see `signal`."""

    payload: type[R]
    needs: tuple[Any, ...] = ()  # steps and signals of any type
    timeout: timedelta | None = None
    title: str | None = None
    attribute: str = ""

    def __set_name__(self, owner: type, name: str) -> None:
        if not self.attribute:
            self.attribute = name

    @property
    def name(self) -> str:
        """The recorded name: that of the class's attribute."""
        return self.attribute


def signal(
    payload: type[R], needs: Sequence[Any] = (), timeout: timedelta | None = None, title: str | None = None
) -> Signal[R]:
    """Declare a node that waits for somebody outside, as an attribute of the class.

    Args:
        payload: the type of what is sent with it.
        needs: steps and signals that come before it; Any, since their results do not matter to it.
        timeout: how long it waits from when its needs are met; ``None`` for ever.
        title: for people; by default its name with spaces.
    """
    return Signal(payload, needs_of(needs, "a signal"), timeout, title)


class Compensation(Bound[F_co]):
    """What undoes a step."""

    undoes: Bound[Any]

    @property
    def _called_for(self) -> str:
        return self.undoes.name

    @overload
    def __get__(self, saga: None, owner: type) -> Compensation[F_co]: ...
    @overload
    def __get__(self, saga: Saga[Any], owner: type) -> F_co: ...
    def __get__(self, saga: Saga[Any] | None, owner: type) -> Any:
        return self if saga is None else self._on(saga, "compensation")


class Probe(Bound[F_co]):
    """What says whether a step's lost call had its effect."""

    asks: Bound[Any]

    @property
    def _called_for(self) -> str:
        return self.asks.name

    @overload
    def __get__(self, saga: None, owner: type) -> Probe[F_co]: ...
    @overload
    def __get__(self, saga: Saga[Any], owner: type) -> F_co: ...
    def __get__(self, saga: Saga[Any] | None, owner: type) -> Any:
        return self if saga is None else self._on(saga, "action")


@dataclass
class Undo(Generic[T, R_co]):
    """``@x.compensation(title=…)``: waits for the function."""

    step: Bound[Any]
    options: Options

    @overload
    def __call__(
        self, fn: Callable[[S, T, R_co | None], X]
    ) -> Compensation[Callable[[T, R_co | None], X]]: ...
    @overload
    def __call__(self, fn: Attempting[S, T, R_co | None, X]) -> Compensation[Direct[T, R_co | None, X]]: ...
    def __call__(self, fn: Any) -> Any:
        where = f"the compensation of {self.step.name!r}"
        check_options(self.options, OF_UNDO, where)
        made = Compensation[Any](Function(check_callable(fn, where), None, method=True), dict(self.options))
        made.undoes = self.step
        return made


@dataclass(eq=False)
class Step(Bound[F_co], Generic[S_co, T, R_co, F_co]):
    """A node that acts; ``@x.compensation`` and ``@x.probe`` go with it."""

    needs: tuple[Any, ...] = ()  # steps and signals of any type

    @overload
    def __get__(self, saga: None, owner: type) -> Step[S_co, T, R_co, F_co]: ...
    @overload
    def __get__(self, saga: Saga[Any], owner: type) -> F_co: ...
    def __get__(self, saga: Saga[Any] | None, owner: type) -> Any:
        return self if saga is None else self._on(saga, "action")

    # self: Step[Saga[T], T, …] says that the step takes what its own class says it takes.
    @overload
    def compensation(
        self: Step[Saga[T], T, R, Any], fn: Callable[[S, T, R | None], X]
    ) -> Compensation[Callable[[T, R | None], X]]: ...
    @overload
    def compensation(
        self: Step[Saga[T], T, R, Any], fn: Attempting[S, T, R | None, X]
    ) -> Compensation[Direct[T, R | None, X]]: ...
    @overload
    def compensation(self: Step[Saga[T], T, R, Any], **options: Unpack[Options]) -> Undo[T, R]: ...
    def compensation(self, fn: Any = None, **options: Any) -> Any:
        """Say what undoes this step: takes the input, then the step's result or ``None`` (outcome unknown)."""
        undo = Undo[Any, Any](self, cast("Options", options))
        return undo if fn is None else undo(fn)

    @overload
    def probe(self: Step[Saga[T], T, R, Any], fn: Callable[[S, T], Co[R]]) -> Probe[Callable[[T], Co[R]]]: ...
    @overload
    def probe(self: Step[Saga[T], T, R, Any], fn: Attempting[S, T, Co[R]]) -> Probe[Direct[T, Co[R]]]: ...
    @overload
    def probe(self: Step[Saga[T], T, R, Any], fn: Callable[[S, T], R]) -> Probe[Callable[[T], R]]: ...
    @overload
    def probe(self: Step[Saga[T], T, R, Any], fn: Attempting[S, T, R]) -> Probe[Direct[T, R]]: ...
    def probe(self, fn: Any) -> Any:
        """Say whom to ask when an answer was lost: it returns the result, or raises Rejected if it did not happen."""
        made = Probe[Any](Function(check_callable(fn, f"the probe of {self.name!r}"), None, method=True))
        made.asks = self
        return made
