"""A persistent vector: setting an element costs a short path of it, never a copy of the whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Generic, TypeVar, cast

T = TypeVar("T")

BITS = 5
WIDTH = 1 << BITS
MASK = WIDTH - 1
WORD: Final = 60
"""Bits of a mask that are looked through as one small number."""


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
    changed = list(place)  # and back: faster than to put slices together
    changed[slot] = item
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


def bits(mask: int) -> Iterable[int]:
    """Return the numbers in a mask, ascending."""
    return _FEW[mask] if mask < len(_FEW) else _bits(mask)


def _bits(mask: int) -> Iterator[int]:
    # By words: whatever is done to a mask of thousands is done to all its bits.
    base = 0
    while mask:
        word = mask & ((1 << WORD) - 1)
        past = WORD if word else (mask & -mask).bit_length() - 1  # over all that are empty at once
        while word:
            low = word & -word
            yield base + low.bit_length() - 1
            word ^= low
        mask >>= past
        base += past


def without(mask: int, index: int) -> int:
    """Return a mask without a number; the very same where it is not in it."""
    if not mask:
        return 0
    bit = 1 << index
    return mask ^ bit if mask & bit else mask  # half of what `mask & ~bit` takes of a wide one


_FEW: Final = tuple(tuple(_bits(mask)) for mask in range(256))
