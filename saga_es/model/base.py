from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, TypeVar, dataclass_transform

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T")


class Frozen(BaseModel):
    """What is stored or crosses the edge: immutable, and closed to fields it does not know."""

    # Deferred: to build the validators of all classes takes a tenth of the time that importing the library does.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


class Fields:
    """Whatever its ``__dict__`` is said to hold, as attributes."""


@dataclass_transform(frozen_default=True)
def record(cls: type[T]) -> type[T]:
    """Make a dataclass that type checkers hold to be frozen, and that costs nothing to make.

    For what is made many times for every saga: a dataclass that is frozen at run time too takes five times as long.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)


def reduced(it: DataclassInstance) -> tuple[Callable[..., object], tuple[object, ...]]:
    """Return what ``__reduce__`` has to of a dataclass that writes its ``__init__`` out.

    Compiled, such a one can't be copied and pickled otherwise.
    """
    return _remade, (type(it), {field.name: getattr(it, field.name) for field in fields(it)})


def _remade(kind: Callable[..., T], values: dict[str, object]) -> T:
    return kind(**values)
