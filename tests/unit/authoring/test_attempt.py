import contextvars

import pytest

from saga_es.authoring.attempt import CURRENT, Attempt


@pytest.mark.promise("call.Attempt.current")
def test_outside_a_step_there_is_none():
    with pytest.raises(LookupError, match="outside a step"):
        contextvars.Context().run(Attempt.current)


@pytest.mark.promise("call.Attempt.current")
def test_inside_it_is_the_one_that_was_entered():
    attempt = Attempt.stand_in("book_plane", "compensation")

    def inside() -> Attempt:
        CURRENT.set(attempt)
        return Attempt.current()

    assert contextvars.Context().run(inside) is attempt


def test_a_stand_in_has_the_keys_of_a_first_attempt():
    attempt = Attempt.stand_in("book_plane", "compensation")
    assert (attempt.saga_id, attempt.step, attempt.op) == ("unit-test", "book_plane", "compensation")
    assert (attempt.round, attempt.number, attempt.deadline) == (1, 1, None)
    assert attempt.key == "unit-test/book_plane/compensation/1"
    assert attempt.action_key == "unit-test/book_plane/action/1"
