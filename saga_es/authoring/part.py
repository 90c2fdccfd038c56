"""A step of the fluent form, before it belongs to a definition."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from saga_es.authoring.entries import Undo
from saga_es.authoring.options import OF_DO, check_callable, check_options, needs_of
from saga_es.authoring.signatures import Function, Scope

T_contra = TypeVar("T_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Part(Generic[T_contra]):
    """What ``do(…)`` makes: a step that takes ``T_contra``; ``needs`` are functions or names."""

    name: str
    function: Function
    needs: tuple[Any, ...]
    undo: Undo | None
    probe: Function | None
    options: Mapping[str, Any]


def made(fn: Any, needs: Any, undo: Any, probe: Any, options: dict[str, Any]) -> Part[Any]:
    """Return the step; its types are the overloads' matter, hence Any.

    To be called by what the user calls: annotations are looked for in the locals of that one's caller.
    """
    scope = Scope(sys._getframe(2), {})  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - as pydantic does
    function = _function(fn, "a step", scope)
    name = options.get("name", function.name)
    check_options(options, OF_DO, str(name))
    undo_options = {
        key.removeprefix("undo_"): options.pop(key) for key in [*options] if key.startswith("undo_")
    }
    return Part(
        name=name,
        function=function,
        needs=needs_of(needs, name),
        undo=_undo(undo, name, scope, undo_options),
        probe=None if probe is None else _function(probe, f"the probe of {name!r}", scope),
        options=options,
    )


def _undo(undo: Any, step: str, scope: Scope, options: Mapping[str, Any]) -> Undo | None:
    if undo is None:
        return None
    function = _function(undo, f"the compensation of {step!r}", scope)
    return Undo(function, function.name, options)


def _function(fn: Any, where: str, scope: Scope) -> Function:
    return Function(check_callable(fn, where), scope, method=False)
