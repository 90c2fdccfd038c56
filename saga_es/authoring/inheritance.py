"""What a saga's class inherits: its steps and signals, and what its type variables stand for."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Generic, TypeAlias, get_args, get_origin

from saga_es.authoring.signatures import substituted
from saga_es.authoring.step import Bound, Compensation, Probe, Signal
from saga_es.errors import DefinitionError

Variables: TypeAlias = Mapping[Any, Any]
"""Type variable to what stands in its place; both are of any type."""


def parts_of(cls: type) -> dict[str, tuple[Any, type]]:
    """Return the steps, signals, compensations and probes by attribute, each with the class that declares it.

    They are of four kinds, hence Any.

    Raises:
        DefinitionError: a class overrides one with something that is none.
    """
    found: dict[str, tuple[Any, type]] = {}
    for each in reversed(cls.__mro__):
        for name, value in vars(each).items():
            if isinstance(value, Bound | Signal):
                if name == "definition":
                    raise DefinitionError(
                        "is where a saga's class keeps its plan; give the function another name, and the step its "
                        'own: step(name="definition")',
                        where=f"{each.__name__}.{name}",
                    )
                found[name] = (value, each)
            elif name in found and value is None:
                del found[name]  # a class leaves a step out by setting it to None
            elif name in found:
                raise DefinitionError(
                    f"overrides {found[name][1].__name__}.{name} without saying what it is; decorate it like the "
                    "one it replaces, or set it to None to leave it out",
                    where=f"{cls.__name__}.{name}",
                )
        _check_one_each(each)
    return found


def _check_one_each(cls: type) -> None:
    """Raise DefinitionError where a class gives a step two compensations or probes, or one to another saga's step."""
    seen: dict[tuple[str, str], str] = {}
    for name, value in vars(cls).items():
        if isinstance(value, Compensation | Probe):
            what = "compensation" if isinstance(value, Compensation) else "probe"
            of: Bound[Any] = value.undoes if isinstance(value, Compensation) else value.asks
            if not any(
                inspect.getattr_static(each, of.attribute or of.name, None) is of for each in cls.__mro__
            ):
                raise DefinitionError(
                    f"is the {what} of {of.name!r}, which is no step of this saga",
                    where=f"{cls.__name__}.{name}",
                )
            other = seen.setdefault((what, of.attribute), name)
            if other != name:
                raise DefinitionError(
                    f"is a second {what} of {of.attribute!r}, beside {other!r}; remove one",
                    where=f"{cls.__name__}.{name}",
                )


def variables_of(cls: type, root: type) -> dict[type, Variables]:
    """Return, for ``cls`` and each of its bases down to ``root``, what its type variables stand for."""
    found: dict[type, Variables] = {}

    def look(each: type, arguments: tuple[Any, ...]) -> None:
        known = dict(zip(getattr(each, "__parameters__", ()), arguments, strict=False))
        found.setdefault(each, known)
        if each is root:
            return
        for base in vars(each).get("__orig_bases__", each.__bases__):
            origin = get_origin(base) or base
            if origin is not Generic and isinstance(origin, type) and issubclass(origin, root):
                look(origin, tuple(substituted(argument, known) for argument in get_args(base)))

    look(cls, ())
    return found
