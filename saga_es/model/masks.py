"""Sets of node numbers as bit masks. What is done to one number costs the same in a saga of ten thousand nodes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

SHIFT: Final = 10
CHUNK: Final = 1 << SHIFT
"""Numbers of a chunk: a mask of so few is changed as a whole."""
LOW: Final = CHUNK - 1
WORD: Final = 60
"""Bits of a chunk that are looked through as one small number."""

Mask = int | tuple[int, ...]
"""One number where no member is beyond the first chunk; else its chunks, up to the last that has any member.

There is one mask of each set, so that equal sets are equal masks, and only the empty one is false.
"""


def mask_of(numbers: Iterable[int]) -> Mask:
    """Return the mask of these numbers."""
    chunks: list[int] = []
    for number in numbers:
        _add(chunks, number)
    return _made_of(chunks)


def has(mask: Mask, number: int) -> bool:
    if isinstance(mask, int):
        return mask >> number & 1 != 0
    place = number >> SHIFT
    return place < len(mask) and mask[place] >> (number & LOW) & 1 != 0


def added(mask: Mask, number: int) -> Mask:
    """Return a mask with a number."""
    if isinstance(mask, int):
        if number < CHUNK:
            return mask | 1 << number
        mask = (mask,)
    chunks = list(mask)
    _add(chunks, number)
    return tuple(chunks)


def without(mask: Mask, number: int) -> Mask:
    """Return a mask without a number; the very same where it is not in it."""
    if not has(mask, number):  # asked first, so that compiled code hands back the number it was given
        return mask
    if isinstance(mask, int):
        return mask ^ 1 << number
    chunks = list(mask)
    chunks[number >> SHIFT] ^= 1 << (number & LOW)
    return tuple(chunks) if chunks[-1] else _made_of(chunks)


def union(mask: Mask, other: Mask) -> Mask:
    """Return what is in either."""
    if isinstance(mask, int) and isinstance(other, int):
        return mask | other
    few, many = sorted((_chunks(mask), _chunks(other)), key=len)
    return (*[one | two for one, two in zip(few, many, strict=False)], *many[len(few) :])


def minus(mask: Mask, other: Mask) -> Mask:
    """Return what is in the one and not in the other."""
    if isinstance(mask, int) and isinstance(other, int):
        return mask & ~other
    chunks = list(_chunks(mask))
    for place, (one, two) in enumerate(zip(chunks, _chunks(other), strict=False)):
        chunks[place] = one & ~two
    return _made_of(chunks)


def size(mask: Mask) -> int:
    """Return how many numbers there are."""
    if isinstance(mask, int):
        return mask.bit_count() if mask else 0
    return sum([chunk.bit_count() for chunk in mask if chunk])


def bits(mask: Mask) -> Iterable[int]:
    """Return the numbers in a mask, ascending."""
    if isinstance(mask, int):
        return _FEW[mask] if mask < len(_FEW) else _bits(mask, 0)
    return _bits_of_many(mask)


def _bits_of_many(chunks: tuple[int, ...]) -> Iterator[int]:
    for place, chunk in enumerate(chunks):
        if chunk:
            yield from _bits(chunk, place << SHIFT)


def _bits(mask: int, base: int) -> Iterator[int]:
    # By words: whatever is done to a large number is done to all its bits.
    while mask:
        word = mask & ((1 << WORD) - 1)
        past = WORD if word else (mask & -mask).bit_length() - 1  # over all that are empty at once
        while word:
            low = word & -word
            yield base + low.bit_length() - 1
            word ^= low
        mask >>= past
        base += past


def _add(chunks: list[int], number: int) -> None:
    place = number >> SHIFT
    if place >= len(chunks):
        chunks += [0] * (place + 1 - len(chunks))
    chunks[place] |= 1 << (number & LOW)


def _chunks(mask: Mask) -> tuple[int, ...]:
    return (mask,) if isinstance(mask, int) else mask


def _made_of(chunks: list[int]) -> Mask:
    while chunks and not chunks[-1]:
        chunks.pop()
    return tuple(chunks) if len(chunks) > 1 else chunks[0] if chunks else 0


_FEW: Final = tuple(tuple(_bits(mask, 0)) for mask in range(256))
