"""The ids of sagas that are given none."""

from __future__ import annotations

import uuid

from saga_es.runtime.ids import new_saga_id

MOMENT = 1_795_000_000_123


def test_it_is_a_uuid_of_version_7_that_begins_with_the_moment():
    made = new_saga_id(lambda: MOMENT, lambda count: b"\xff" * count)

    it = uuid.UUID(made)
    assert (it.version, it.variant, it.int >> 80) == (7, uuid.RFC_4122, MOMENT)
    assert made == f"{MOMENT:012x}7fffbfffffffffffffff"


def test_later_ones_stand_after_earlier_ones():
    moments = [0, 1, MOMENT, MOMENT + 1, 2 * MOMENT]

    made = [new_saga_id(lambda moment=moment: moment) for moment in moments]

    assert made == sorted(made)


def test_those_of_one_moment_differ():
    assert len({new_saga_id(lambda: MOMENT) for _ in range(1_000)}) == 1_000
