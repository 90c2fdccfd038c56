"""The options of steps and compensations, for the type checkers and checked again when they are given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final, TypedDict, cast

from saga_es.errors import DefinitionError
from saga_es.model.definition import Retry


class Options(TypedDict, total=False):
    """What a compensation, and a step, may be told.

    Attributes:
        title: for people; by default the name with spaces.
        retry: when an attempt has no definite answer; a step's default is one attempt.
        timeout: of one attempt; by default the engine's, ``None`` waits for ever.
    """

    title: str
    retry: Retry
    timeout: timedelta | None


class StepOptions(Options, total=False):
    """What a step may be told besides.

    Attributes:
        name: the recorded name; by default the function's. Keep the old one when a function is renamed.
        rejects: exceptions that mean "no effect happened", like Rejected.
        pivot: from its dispatch on the saga only goes forward.
        read_only: it leaves nothing behind that could need undoing.
    """

    name: str
    rejects: tuple[type[Exception], ...]
    pivot: bool
    read_only: bool


class DoOptions(StepOptions, total=False):
    """What a step of the fluent form may be told besides: the options of its undo."""

    undo_title: str
    undo_retry: Retry
    undo_timeout: timedelta | None


OF_UNDO: Final = Options.__optional_keys__
OF_STEP: Final = StepOptions.__optional_keys__
OF_DO: Final = DoOptions.__optional_keys__


def check_options(options: Mapping[str, object], allowed: frozenset[str], where: str) -> None:
    """Raise DefinitionError for an option that does not exist, or is not of its type."""
    for name, value in options.items():
        if name not in allowed:
            raise DefinitionError(
                f"has no option {name!r}; it may have {', '.join(sorted(allowed))}", where=where
            )
        wanted = _wanted(name, value)
        if wanted is not None:
            raise DefinitionError(f"{name}= has to be {wanted}, not {value!r}", where=where)


def _wanted(name: str, value: object) -> str | None:
    """Return what the option has to be, in words, or ``None`` if ``value`` is that."""
    match name.removeprefix("undo_"):
        case "title" | "name":
            fits, wanted = isinstance(value, str) and bool(value), "a text"
        case "retry":
            fits, wanted = isinstance(value, Retry), "a Retry(…)"
        case "timeout":
            fits, wanted = is_timeout(value), "a timedelta above zero, or None to wait for ever"
        case "rejects":
            fits, wanted = _are_exceptions(value), "a tuple of exception classes"
        case _:
            fits, wanted = isinstance(value, bool), "True or False"
    return None if fits else wanted


def check_callable(fn: object, where: str) -> Callable[..., Any]:
    """Return ``fn`` if it can be called; its types are the user's, hence Any."""
    if not callable(fn):
        raise DefinitionError(f"has to be callable, not {type(fn).__name__} {fn!r}", where=where)
    return cast("Callable[..., Any]", fn)


def needs_of(needs: object, where: str) -> tuple[Any, ...]:
    """Return ``needs`` as a tuple; what is in it is looked at where it is known what it may be."""
    if not isinstance(needs, tuple | list):
        raise DefinitionError(f"needs= has to be a tuple or a list, not {needs!r}", where=where)
    return tuple(cast("tuple[Any, ...]", needs))


def is_timeout(value: object) -> bool:
    return value is None or (isinstance(value, timedelta) and value > timedelta(0))


def _are_exceptions(value: Any) -> bool:
    return issubclass(type(value), tuple) and all(map(_is_exception, value))


def _is_exception(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, Exception)
