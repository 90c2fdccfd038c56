"""A persistent vector: setting an element costs a short path of it, never a copy of the whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar, cast

T = TypeVar("T")

BITS = 5
WIDTH = 1 << BITS
MASK = WIDTH - 1


class Vector(Generic[T]):
    """A fixed-length sequence as a tree of tuples of up to 32.

    Source: bit-partitioned persistent vectors, P. Bagwell and R. Hickey.
    """

    __slots__ = ("_height", "_length", "_root")

    def __init__(self, root: tuple[object, ...], length: int, height: int) -> None:
        self._root, self._length, self._height = root, length, height

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> T:
        place = self._root
        height = self._height
        while height:
            place = cast("tuple[object, ...]", place[index >> height & MASK])
            height -= BITS
        return cast("T", place[index & MASK])

    def __iter__(self) -> Iterator[T]:
        return (self[index] for index in range(self._length))

    def set(self, index: int, item: T) -> Vector[T]:
        """Return this vector with ``item`` at ``index``; this one stays as it is."""
        return Vector(_set(self._root, self._height, index, item), self._length, self._height)


def _set(place: tuple[object, ...], height: int, index: int, item: object) -> tuple[object, ...]:
    slot = index >> height & MASK
    if height:
        item = _set(cast("tuple[object, ...]", place[slot]), height - BITS, index, item)
    return replaced(place, slot, item)


def replaced(items: tuple[T, ...], index: int, item: T) -> tuple[T, ...]:
    """Return a copy with another item at ``index``."""
    changed = list(items)  # and back: faster than to put slices together
    changed[index] = item
    return tuple(changed)


def vector(items: Iterable[T]) -> Vector[T]:
    """Return a vector of items, in their order."""
    level: tuple[object, ...] = tuple(items)
    length, height = len(level), 0
    while len(level) > WIDTH:
        level = tuple([level[start : start + WIDTH] for start in range(0, len(level), WIDTH)])
        height += BITS
    return Vector(level, length, height)


def persistent(items: Iterable[T]) -> Vector[T] | tuple[T, ...]:
    """Return items to be replaced one by one without a copy of the whole: up to 32, a tuple is that by itself."""
    few = tuple(items)
    return few if len(few) <= WIDTH else vector(few)
