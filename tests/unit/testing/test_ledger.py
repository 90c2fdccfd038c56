from __future__ import annotations

from dataclasses import replace

import pytest

from saga_es.authoring.attempt import Attempt
from saga_es.errors import Rejected
from saga_es.model.keys import call_key
from saga_es.testing.ledger import Ledger


def action(step: str = "fly", number: int = 1) -> Attempt:
    key = call_key("trip", step, "action", 1)
    return Attempt("trip", step, "action", 1, number, key, key, None)


def undo(step: str = "fly") -> Attempt:
    return replace(action(step), op="compensation", key=call_key("trip", step, "compensation", 1))


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return Ledger(tmp_path / "ledger.db")


def effects(ledger: Ledger) -> list[str]:
    return [entry.effect for entry in ledger.entries("trip")]


def test_a_key_has_one_effect_and_one_answer(ledger):
    assert ledger.act(action()) == 1
    assert ledger.act(action(number=2)) == 1
    assert ledger.act(action("stay")) == 3
    assert effects(ledger) == ["acted", "known", "acted"]
    assert ledger.standing("trip") == {"fly", "stay"}
    assert ledger.complaints("trip", stands={"fly", "stay"}) == ()


def test_what_was_undone_does_not_stand_and_is_not_done_again(ledger):
    ledger.act(action())
    ledger.undo(undo())
    ledger.undo(undo())
    with pytest.raises(Rejected):
        ledger.act(action(number=2))
    assert effects(ledger) == ["acted", "undone", "known", "refused"]
    assert ledger.standing("trip") == frozenset()


def test_what_is_undone_before_it_comes_is_refused_when_it_does(ledger):
    ledger.undo(undo())
    with pytest.raises(Rejected):
        ledger.act(action())
    assert effects(ledger) == ["prevented", "refused"]
    assert ledger.complaints("trip", stands=()) == ()


def test_a_refusal_has_no_effect(ledger):
    assert str(ledger.refuse(action(), "no seats")) == "no seats"
    assert effects(ledger) == ["refused"]
    assert ledger.standing("trip") == frozenset()


def test_it_complains_of_what_stands_and_should_not_and_the_other_way_round(ledger):
    ledger.act(action())
    assert ledger.complaints("trip", stands=()) == ("['fly'] stand, not []",)
    assert ledger.complaints("trip", stands={"fly", "stay"}) == ("['fly'] stand, not ['fly', 'stay']",)


def test_it_complains_of_an_attempt_that_one_process_made_twice(ledger):
    ledger.act(action())
    ledger.act(action())
    (complaint,) = ledger.complaints("trip", stands={"fly"})
    assert "made attempt 1 of trip/fly/action/1 2 times" in complaint


def test_the_call_is_durable_before_it_is_told_of(tmp_path):
    path = tmp_path / "ledger.db"
    seen: list[int] = []
    ledger = Ledger(path, after_call=lambda: seen.append(len(Ledger(path).entries("trip"))))
    ledger.act(action())
    ledger.undo(undo())
    ledger.refuse(action("stay"), "no rooms")
    assert seen == [1, 2, 3]
