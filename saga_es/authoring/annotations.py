"""Whether annotations fit each other; wherever that can't be told before running, they do."""

from __future__ import annotations

import inspect
import types
import typing
from typing import Annotated, Any, Final, Literal, NewType, TypeVar, Union, get_args, get_origin

NONE: Final = (None, type(None))
OPEN: Final = (Any, object, inspect.Parameter.empty)
WIDENED: Final[dict[object, tuple[object, ...]]] = {
    int: (float, complex),
    float: (complex,),
    bool: (float, complex),
}
"""What type checkers let pass for a number, beside its subclasses."""
_ALIAS: Final = getattr(typing, "TypeAliasType", None)  # Python 3.12's `type X = …`


def accepts_none(annotation: Any) -> bool:
    """Say whether ``None`` may go where this annotation stands; Any, since annotations are of any type."""
    annotation = bare(annotation)
    if annotation in NONE or _is_open(annotation):
        return True
    if get_origin(annotation) is Literal:
        return None in get_args(annotation)
    return _is_union(annotation) and any(map(accepts_none, get_args(annotation)))


def can_fit(given: Any, wanted: Any) -> bool:
    """Say whether a value annotated ``given`` may go where ``wanted`` is; False only where it certainly can't."""
    return any(_one_fits(one, other) for one in alternatives(given) for other in alternatives(wanted))


def alternatives(annotation: Any) -> list[Any]:
    """Return the classes that an annotation lets pass: the parts of a union, else itself; Any as above."""
    annotation = bare(annotation)
    if _is_union(annotation):
        return [one for each in get_args(annotation) for one in alternatives(each)]
    if get_origin(annotation) is Literal:
        return [type(value) for value in get_args(annotation)]
    return [annotation]


def _one_fits(given: Any, wanted: Any) -> bool:
    if _is_open(given) or _is_open(wanted):
        return True
    if given in NONE or wanted in NONE:
        return given in NONE and wanted in NONE
    return _classes_fit(given, wanted)


def bare(annotation: Any) -> Any:
    """Return what an alias, a NewType or an Annotated stands for."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        elif _ALIAS is not None and isinstance(annotation, _ALIAS):
            annotation = annotation.__value__
        else:
            return annotation


def shown(annotation: Any) -> str:
    """Return an annotation as a person would write it."""
    if annotation in NONE:
        return "None"
    inner = get_args(annotation)
    if _is_union(annotation):
        return " | ".join(map(shown, inner))
    origin = get_origin(annotation) or annotation
    name = origin.__name__ if isinstance(origin, type) else str(origin).replace("typing.", "")
    if not inner or origin in (Annotated, Literal):
        return name if not inner else str(annotation).replace("typing.", "")
    return f"{name}[{', '.join('…' if each is ... else shown(each) for each in inner)}]"


def _classes_fit(given: Any, wanted: Any) -> bool:
    one, other = get_origin(given) or given, get_origin(wanted) or wanted
    if not (isinstance(one, type) and isinstance(other, type)) or getattr(other, "_is_protocol", False):
        return True
    if other in WIDENED.get(one, ()):
        return True
    try:
        if not (issubclass(one, other) or issubclass(other, one)):
            return False
    except TypeError:  # a TypedDict and the like
        return True
    inner, outer = get_args(given), get_args(wanted)
    if one is not other or len(inner) != len(outer) or ... in inner or ... in outer:
        return True
    return all(can_fit(a, b) for a, b in zip(inner, outer, strict=True))


def _is_open(annotation: Any) -> bool:
    return annotation in OPEN or isinstance(annotation, TypeVar | str | typing.ForwardRef)


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)
