"""What an engine holds of a store: all of it where it is alone, else what the store says, and no more."""

from __future__ import annotations

import pytest

from saga_es.runtime.ownership import Alone, Holds
from saga_es.store.shards import Shard

ONE, TWO, THREE = (Shard("lane", number) for number in (1, 2, 3))
pytestmark = pytest.mark.promise("owner.fence")


@pytest.fixture
def holds() -> Holds:
    made = Holds("ann")
    made.take({ONE: 4, TWO: 7})
    return made


def test_who_is_alone_holds_all_and_needs_no_epoch():
    alone = Alone()
    assert not alone.is_shared
    for shard in (ONE, None):
        assert alone.holds(shard)
        assert alone.may_begin(shard)
        assert alone.epoch(shard) is None
        assert alone.metadata(shard) == {}


def test_at_first_nothing_is_held():
    holds = Holds("ann")
    assert holds.is_shared
    assert holds.shards == frozenset()
    assert not holds.holds(ONE)
    assert not holds.may_begin(ONE)
    assert holds.epoch(ONE) is None
    assert holds.metadata(ONE) == {}


def test_what_the_store_says_is_held_with_its_epoch(holds):
    assert holds.shards == {ONE, TWO}
    assert holds.holds(ONE)
    assert holds.may_begin(ONE)
    assert (holds.epoch(ONE), holds.epoch(TWO), holds.epoch(THREE)) == (4, 7, None)
    assert not holds.holds(THREE)


def test_a_saga_whose_plan_is_not_known_is_nobodys(holds):
    assert not holds.holds(None)
    assert not holds.may_begin(None)
    assert holds.epoch(None) is None
    assert holds.metadata(None) == {}


def test_of_what_is_held_it_is_recorded_by_whom_and_in_which_epoch(holds):
    assert holds.metadata(ONE) == {"worker": "ann", "epoch": 4}
    assert holds.metadata(TWO) == {"worker": "ann", "epoch": 7}
    assert holds.metadata(THREE) == {}
    holds.take({ONE: 5})
    assert holds.metadata(ONE) == {"worker": "ann", "epoch": 5}
    assert holds.metadata(TWO) == {}


def test_taking_tells_what_came_and_what_went(holds):
    assert holds.take({ONE: 4, THREE: 1}) == ({THREE}, {TWO})
    assert holds.shards == {ONE, THREE}
    assert holds.take({ONE: 4, THREE: 1}) == (set(), set())
    assert holds.take({}) == (set(), {ONE, THREE})


def test_what_is_held_in_another_epoch_was_lost_and_is_gained_anew(holds):
    assert holds.take({ONE: 6, TWO: 7}) == ({ONE}, {ONE})
    assert holds.epoch(ONE) == 6


def test_what_is_to_be_given_back_is_still_held_and_nothing_is_begun_in_it(holds):
    holds.leaving = {ONE}
    assert holds.holds(ONE)
    assert not holds.may_begin(ONE)
    assert holds.may_begin(TWO)
    assert (holds.epoch(ONE), holds.metadata(ONE)) == (4, {"worker": "ann", "epoch": 4})


@pytest.mark.parametrize("told", [{TWO: 7}, {ONE: 5, TWO: 7}], ids=["lost", "lost and gained anew"])
def test_what_was_lost_is_not_given_back_when_it_comes_again(holds, told):
    holds.leaving = {ONE, TWO}
    holds.take(told)
    assert holds.leaving == {TWO}
    holds.take({ONE: 8, TWO: 7})
    assert holds.may_begin(ONE)


def test_a_refused_commit_ends_its_epoch_once(holds):
    holds.leaving = {ONE}
    assert holds.lose(ONE, 4)
    assert holds.shards == {TWO}
    assert holds.leaving == set()
    assert not holds.lose(ONE, 4)


def test_a_refused_commit_of_an_older_epoch_ends_no_newer_one(holds):
    holds.take({ONE: 5, TWO: 7})
    assert not holds.lose(ONE, 4)
    assert holds.epoch(ONE) == 5


def test_what_the_store_said_before_a_commit_was_refused_is_not_what_it_says_since(holds):
    holds.lose(ONE, 4)
    assert holds.take({ONE: 4, TWO: 7}) == (set(), set())  # read before that commit
    assert not holds.holds(ONE)
    assert holds.take({ONE: 5, TWO: 7}) == ({ONE}, set())


def test_of_a_commit_refused_in_an_older_epoch_the_newer_is_gained_all_the_same(holds):
    holds.take({TWO: 7})
    holds.lose(ONE, 4)
    holds.lose(ONE, 3)
    assert holds.take({ONE: 4, TWO: 7}) == (set(), set())
    assert holds.take({ONE: 5, TWO: 7}) == ({ONE}, set())


def test_what_is_held_now_can_be_compared_with_what_is_later(holds):
    before = holds.epochs
    assert before == {ONE: 4, TWO: 7}
    holds.take({ONE: 5, THREE: 1})
    assert before == {ONE: 4, TWO: 7}
    assert holds.epochs == {ONE: 5, THREE: 1}


def test_dropping_what_is_not_held_is_no_matter(holds):
    holds.leaving = {TWO}
    holds.drop([TWO, THREE])
    assert holds.shards == {ONE}
    assert holds.leaving == set()
