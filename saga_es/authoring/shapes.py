"""The shapes of steps' functions, as the type checkers see them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, Protocol, TypeAlias, TypeVar, TypeVarTuple

from saga_es.authoring.attempt import Attempt

T = TypeVar("T")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
P = ParamSpec("P")
Ns = TypeVarTuple("Ns")

Co: TypeAlias = Coroutine[Any, Any, R]
"""What a coroutine function returns when it is called; Any, since nobody sends into it."""
Maybe: TypeAlias = Coroutine[Any, Any, R] | R
"""What a step's function returns, coroutine or plain; only where R is solved from a second place too."""
Of: TypeAlias = Callable[..., Maybe[R]] | str
"""A need: the function whose result it is, or a name, which types can't follow."""
Back: TypeAlias = Callable[Concatenate[T, R | None, P], object]
"""An undo; P is for its attempt."""
Ask: TypeAlias = Callable[Concatenate[T, P], Maybe[R]]
"""A probe; P is for its attempt."""


# One *args and no "/" before attempt: with "/", pyright reports mismatches of parameter names.
class Attempting(Protocol[*Ns, R_co]):
    """A function that takes these, and a keyword parameter ``attempt``."""

    def __call__(self, *args: *Ns, attempt: Attempt) -> R_co: ...


class Direct(Protocol[*Ns, R_co]):
    """The same when it is called directly, as in a unit test: a stand-in attempt is filled in."""

    def __call__(self, *args: *Ns, attempt: Attempt = ...) -> R_co: ...
