"""A late success opens another round of the undo; what is still said of the first is no word on the second."""

import pytest

from saga_es.testing.given import Given
from tests.unit.model.plans import (
    OOPS,
    TWICE,
    act,
    after,
    bad,
    compensated,
    ok,
    plan,
    start,
    statuses,
    undo_again,
    undo_bad,
    undoing,
    undone,
    wake,
)

pytestmark = pytest.mark.promise("case.late-reply", "case.duplicate")
ONE = plan(act("a", undo_retry=TWICE))


def in_its_second_round() -> Given:
    return after(ONE, start(), bad("a"), undone("a"), ok("a", 7))


@pytest.mark.parametrize("again", [undone("a", round=1), undo_bad("a", round=1)])
def test_a_second_word_on_the_first_round_says_nothing_of_the_second(again):
    saga = in_its_second_round()
    assert statuses(saga) == {"saga": "failed", "a": "undoing"}
    saga.when(again).then()
    saga.when(undone("a", round=2)).then(compensated("a", round=2)).when(again).then()


def test_the_second_round_has_attempts_and_a_budget_of_its_own():
    saga = after(ONE, start(), bad("a"), undo_bad("a"), wake(t=9), undone("a", attempt=2), ok("a", 7, t=10))
    assert saga.state.steps["a"].undo_attempts == 1
    saga = saga.when(undo_bad("a", round=2, t=11)).then(undo_again("a", OOPS, t=12, round=2))
    assert saga.state.is_open
    saga.when(wake(t=12)).then(undoing("a", 2, round=2, t=12))
