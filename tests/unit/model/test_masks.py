"""Masks of node numbers, up to those of sagas with thousands of steps."""

from __future__ import annotations

from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from saga_es.model.vector import bits, without

numbers = st.sets(st.integers(0, 70) | st.integers(0, 2_000) | st.sampled_from([59, 60, 61, 119, 120, 9_999]))


def mask_of(found: set[int]) -> int:
    return sum(1 << number for number in found)


@given(found=numbers)
def test_a_mask_tells_its_numbers_ascending(found: set[int]):
    assert list(bits(mask_of(found))) == sorted(found)


@given(found=numbers, few=st.integers(0, 5))
def test_the_first_can_be_taken_alone(found: set[int], few: int):
    assert list(islice(bits(mask_of(found)), few)) == sorted(found)[:few]


@given(found=numbers, number=st.integers(0, 130) | st.just(9_999))
def test_without_a_number_the_others_stay(found: set[int], number: int):
    mask = mask_of(found)

    assert without(mask, number) == mask_of(found - {number})
    assert without(mask | 1 << number, number) == mask_of(found - {number})
