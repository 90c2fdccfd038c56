"""Masks of node numbers, up to those of sagas with thousands of steps: against sets."""

from __future__ import annotations

from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from saga_es.model.masks import CHUNK, Mask, added, bits, has, mask_of, minus, size, union, without

EDGES = (0, 59, 60, 61, 119, 120, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK - 1, 2 * CHUNK, 9_999)
number_ = st.integers(0, 70) | st.integers(0, 3 * CHUNK) | st.sampled_from(EDGES)
numbers = st.sets(number_)


def built(found: set[int]) -> Mask:
    """One by one, last number first, with others beside that are taken out again."""
    mask: Mask = 0
    for number in sorted(found | set(EDGES), reverse=True):
        mask = added(mask, number)
    for number in set(EDGES) - found:
        mask = without(mask, number)
    return mask


@given(found=numbers)
def test_a_mask_tells_its_numbers_ascending(found: set[int]):
    assert list(bits(mask_of(found))) == sorted(found)
    assert size(mask_of(found)) == len(found)


@given(number=st.integers(0, 1 << 3_000))
def test_a_mask_that_is_one_large_number_tells_its_own(number: int):
    assert list(bits(number)) == [place for place in range(number.bit_length()) if number >> place & 1]


@given(found=numbers, few=st.integers(0, 5))
def test_the_first_can_be_taken_alone(found: set[int], few: int):
    assert list(islice(bits(mask_of(found)), few)) == sorted(found)[:few]


@given(found=numbers, number=number_)
def test_a_number_comes_and_goes_and_the_others_stay(found: set[int], number: int):
    mask = mask_of(found)

    assert has(mask, number) == (number in found)
    assert without(mask, number) == mask_of(found - {number})
    assert added(mask, number) == mask_of(found | {number})
    assert mask == mask_of(found)  # none is changed


@given(found=numbers)
def test_equal_sets_are_equal_masks_however_they_came_about(found: set[int]):
    assert built(found) == mask_of(found)
    assert bool(built(found)) == bool(found)
    assert isinstance(built(found), int) == all(number < CHUNK for number in found)


@given(one=numbers, two=numbers)
def test_masks_are_put_together_and_taken_apart(one: set[int], two: set[int]):
    assert union(mask_of(one), mask_of(two)) == mask_of(one | two)
    assert minus(mask_of(one), mask_of(two)) == mask_of(one - two)
